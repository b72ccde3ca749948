"""Every config: it names its experiment, is valid, and its docstring says how to run it."""

import importlib
import re
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import imagenet32
from experiments import EXPERIMENTS, default_config, recipe_of
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.config import parse_config
from pixelcnn_jax.training.optimizer import make_optimizer
from pixelcnn_jax.zoo.registry import make_network

NAMES = sorted(path.stem for path in Path("configs").glob("[!_]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_valid_and_says_how_to_run_it(name):
    module = importlib.import_module(f"configs.{name}")
    config = module.get_config()
    run = parse_config(config, recipe_of(config.experiment).Config)
    network = make_network(run.model, ImageSpec(32, 32, 3, levels=256, classes=10))
    make_optimizer(run.optimizer, network, steps=run.train.steps)
    assert run.train.batch_size % 8 == run.train.eval_batch_size % 8 == 0  # eight devices can share a batch
    assert re.search(rf"python -m experiments.train --config=configs/{name}.py(:1)? --workdir=runs/", module.__doc__)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_field_has_the_name_of_a_method_of_configs(name):
    sections = (section for section in default_config(name).values() if isinstance(section, ConfigDict))
    assert not set().union(*sections) & {*dir(ConfigDict)}  # a flag of such a name would find the method


def test_a_config_can_be_of_another_experiment():
    config = imagenet32.get_config("autoencoder")
    assert (config.experiment, config.autoencoder.bottleneck, config.model.features) == ("autoencoder", 10, 384)
    assert config.train.published == ()
