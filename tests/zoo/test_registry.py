"""Networks from configs, and modules as JSON."""

import functools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, InputError
from pixelcnn_jax.foundation.fields import read_section
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, ConstantCondition
from pixelcnn_jax.models.conditioning.encoders import Deconvolution, Encoder, Upsampling
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.zoo import registry
from pixelcnn_jax.zoo.registry import NETWORKS, ModelConfig, build, describe, make_network, register

SPEC = ImageSpec(8, 6, 3, 17)
GATED = GatedPixelCNN(levels=3, features=8, head_features=9, dtype="bfloat16", mixture=2)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_config_names_its_network(name):
    model = make_network(ModelConfig(network=name, features=9, layers=2, dtype="bfloat16"), SPEC)
    assert type(model).__name__ == name
    assert (model.levels, model.channels, model.features, model.layers, model.dtype) == (17, 3, 9, 2, "bfloat16")


class Own(nn.Module):
    levels: int
    channels: int
    features: int = 3


def test_a_registered_class_can_be_the_network_of_a_config(monkeypatch):
    monkeypatch.setattr(registry, "REGISTERED", {})
    monkeypatch.setitem(NETWORKS, "Own", "")
    assert register(Own) is Own
    config = read_section(ModelConfig, {"network": "Own", "features": 4}, name="config.model")
    assert make_network(config, SPEC) == Own(17, 3, 4)
    with pytest.raises(InputError, match="layers must stay 7"):
        make_network(ModelConfig(network="Own", layers=2), SPEC)


@pytest.mark.parametrize(
    "model",
    [
        GATED,
        GATED.clone(dtype=jnp.float16),
        DiagonalBiLSTM(dtype="float32"),
        Encoder(5, 3, (4, 8)),
        ConditionalModel(GATED, Deconvolution((8, 6, 4), (2,))),
        ConditionalModel(GATED, ConstantCondition(8, 1)),
        TextEncoder((3, 4, 5), ("blue", "circle")),
        {"small": GATED, "map": Upsampling(3, 17), "both": {"encoder": Encoder(5, 3), "decoder": GATED}},
    ],
)
def test_a_description_is_json_and_builds_the_model_again(model):
    actual = build(json.loads(json.dumps(describe(model))))
    assert actual == model
    if not isinstance(model, dict):
        assert hash(actual) == hash(model)


def test_a_subclass_with_the_name_of_its_parent_is_not_taken_for_it():
    mine = type("GatedPixelCNN", (GatedPixelCNN,), {"__module__": "mine"})(levels=3)
    assert describe(mine)["class"] == "mine.GatedPixelCNN"
    assert describe(GATED)["class"] == "GatedPixelCNN"


@pytest.mark.parametrize("name", registry.MODULES)
def test_a_class_lies_where_the_table_says(name):
    assert registry.class_named(name).__module__ == registry.MODULES[name]


def test_fields_are_told_apart_but_not_by_an_address():
    own = [functools.partial(lambda x: x, slope) for slope in (0.1, 0.9, 0.1)]
    fields = [*jax.lax.Precision, *own, nn.relu, nn.relu6, *map(functools.partial, (nn.relu, nn.relu6))]
    assert len({str(describe(Own(1, 1, value))) for value in fields}) == len(fields) - 1
