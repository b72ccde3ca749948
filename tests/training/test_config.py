"""The config of a run: composed, changed, checked, written as JSON and read again."""

import json

import pytest
from tiny_runs import tiny, tiny_config

from experiments import recipe_of
from experiments.paper.unconditional import Config
from pixelcnn_jax import InputError
from pixelcnn_jax.training.config import parse_config, to_dict

EXPERIMENTS = ("unconditional", "class_conditional", "autoencoder", "embedding", "vae", "multiscale", "classifier")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_config_survives_json(name):
    config = tiny(name, data__labels=True, train__published=(("a", "test", "nats", 1.5),))[0]
    assert parse_config(json.loads(json.dumps(to_dict(config))), recipe_of(name).Config) == config


def test_an_experiment_finds_its_own_section_under_its_name():
    assert parse_config(tiny_config(unconditional__augment=0.25), Config).section.augment == 0.25


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trian": {}}, "no section trian"),
        ({"train": {"stpes": 3}}, r"config\.train has no field stpes.*steps"),
        ({"unconditional": {"augmnet": 0.5}}, r"config\.unconditional has no field augmnet.*augment"),
        ({"seed": -1}, r"config\.seed"),
        ({"train": {"steps": 0}}, r"config\.train\.steps"),
        ({"train": {"published": (3,)}}, r"config\.train\.published"),
        ({"train": {"published": (("a", "test", "Nats", 1.0),)}}, r"config\.train\.published"),
        ({"optimizer": {"learning_rate": float("nan")}}, r"config\.optimizer\.learning_rate"),
        ({"model": {"dtype": "float16"}}, r"config\.model\.dtype"),  # would need loss scaling
        ({"unconditional": {"augment": 1.5}}, r"config\.unconditional\.augment"),
    ],
)
def test_a_wrong_config_is_refused_by_the_name_of_its_field(changes, named):
    with pytest.raises(InputError, match=named):
        parse_config({"experiment": "unconditional", **changes}, Config)
