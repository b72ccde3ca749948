"""The config of a run: composed, changed, checked, written as JSON and read again."""

import dataclasses
import json

import pytest
from tiny_runs import tiny, tiny_config

from experiments import default_config, experiment_module
from experiments.paper.unconditional import Config
from pixelcnn_jax import InputError
from pixelcnn_jax.training.config import GROUPS, RunConfig, help_text, resolve, to_dict

EXPERIMENTS = ("unconditional", "class_conditional", "autoencoder", "embedding", "vae", "multiscale", "classifier")


def test_a_default_config_has_the_defaults_of_every_group():
    config = resolve(default_config("unconditional"), Config)
    groups = {name: group() for name, group in GROUPS.items()}
    assert config == RunConfig(experiment="unconditional", seed=0, group=Config(), **groups)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_config_survives_json(name):
    config = tiny(name, data__labels=True, train__published=(("a", "test", "nats", 1.5),))[0]
    assert resolve(json.loads(json.dumps(to_dict(config))), experiment_module(name).Config) == config


def test_an_experiment_finds_its_own_group_under_its_name():
    assert resolve(tiny_config(unconditional__augment=0.25), Config).group.augment == 0.25


def test_a_mistyped_field_in_a_config_file_is_an_error_with_the_nearest_name():
    config = default_config("unconditional")
    with pytest.raises(AttributeError, match="batch_size"):
        config.train.batchsize = 3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trian": {}}, "no group trian"),
        ({"train": {"stpes": 3}}, r"config\.train has no field stpes.*steps"),
        ({"unconditional": {"augmnet": 0.5}}, r"config\.unconditional has no field augmnet.*augment"),
        ({"seed": -1}, r"config\.seed"),
        ({"seed": 2**32}, r"config\.seed"),
        ({"seed": "1"}, r"config\.seed"),
        ({"train": {"steps": 0}}, r"config\.train\.steps"),
        ({"train": {"ema_decay": 1.0}}, r"config\.train\.ema_decay"),
        ({"train": {"batch_size": 0}}, r"config\.train\.batch_size"),
        ({"train": {"batch_size": 12, "microbatch_size": 5}}, r"config\.train\.batch_size .*microbatch_size"),
        ({"train": {"eval_batch_size": 12, "microbatch_size": 8}}, r"config\.train\.eval_batch_size .*microbatch_size"),
        ({"train": {"published": (3,)}}, r"config\.train\.published"),
        ({"train": {"published": (("a", "test", "nats", "1"),)}}, r"config\.train\.published"),
        ({"train": {"published": (("a", "test", "Nats", 1.0),)}}, r"config\.train\.published"),
        ({"train": {"published": ((1, "test", "nats", 1.0),)}}, r"config\.train\.published"),
        ({"optimizer": {"learning_rate": float("nan")}}, r"config\.optimizer\.learning_rate"),
        ({"optimizer": {"schedule": "linear"}}, r"config\.optimizer\.schedule"),
        ({"optimizer": {"name": "sgd"}}, r"config\.optimizer\.name"),
        ({"model": {"dtype": "float99"}}, r"config\.model\.dtype"),
        ({"model": {"dtype": "float16"}}, r"config\.model\.dtype"),  # would need loss scaling
        ({"model": {"dropout": float("nan")}}, r"config\.model\.dropout"),
        ({"data": {"shift": -1}}, r"config\.data\.shift"),
        ({"unconditional": {"augment": 1.5}}, r"config\.unconditional\.augment"),
    ],
)
def test_a_wrong_config_is_refused_by_the_name_of_its_field(changes, named):
    with pytest.raises(InputError, match=named):
        resolve({"experiment": "unconditional", **changes}, Config)


def test_help_has_every_field_of_every_group():
    text = help_text(default_config("unconditional"), Config)
    for name, group in {**GROUPS, "unconditional": Config}.items():
        for one in dataclasses.fields(group):
            assert f"--config.{name}.{one.name}=" in text
    assert "--config.seed=" in text
