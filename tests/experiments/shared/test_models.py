"""Models of p(x | h) by the fields of a config."""

from experiments.shared.models import make_conditional
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.encoders import Deconvolution
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.models.registry import ModelConfig, make_network

SPEC = ImageSpec(8, 6, 3, 17)


def test_map_features_ask_for_a_map():
    config = ModelConfig(features=9)
    assert make_conditional(config, SPEC, map_features=0) == make_network(config, SPEC)
    expected = ConditionalModel(make_network(config, SPEC), Deconvolution((8, 6, 4)))
    assert make_conditional(config, SPEC, map_features=4) == expected
