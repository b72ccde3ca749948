"""The checks of arguments; tests/stress makes the wrong calls."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixelcnn_jax import GatedPixelCNN, InputError, check_causal, evaluate, fit, log_prob, sample
from pixelcnn_jax.models.arguments import CHECKS, MAX_PIXELS, validate_arguments
from pixelcnn_jax.models.conditioning.conditional import ConditionalModel

MODEL = GatedPixelCNN(levels=3, features=8, layers=1)
IMAGES = np.zeros((2, 3, 3, 1), np.int32)


@validate_arguments
def function(images, *, batch_size=256, group=None, data=b"", on_row=None, shape=(1, 1, 1), other="x"):
    return images, batch_size, group, data, on_row, shape, other


def test_right_arguments_pass_as_they_are():
    assert function(IMAGES)[0] is IMAGES
    assert function(IMAGES, batch_size=np.int64(3), data=bytearray(b"a"), shape=[1, np.int32(2), 3], other=[])[1:] == (
        *(3, None, b"a", None, (1, 2, 3), []),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("batch_size", value) for value in (None, 0, True, 2.0, "2")),
        *(("group", value) for value in (-1, False)),
        *(("shape", value) for value in (None, 8, (1, 2), (1, 2, 0), (1, 2.5, 3), "123", (2**14, 2**14, 2))),
        *(("data", value) for value in (None, "a", 5)),
        ("on_row", 5),
        ("images", None),
    ],
)
def test_wrong_arguments_are_named(name, value):
    with pytest.raises(InputError, match=f"^{name} must"):
        function(**{"images": IMAGES, name: value})
    assert name in CHECKS


class Flat(nn.Module):
    """A user's module: zeros as logits of one shape, whatever the images."""

    shape: tuple[int, ...] | list[int]
    levels: int = 4
    channels: int = 1

    @nn.compact
    def __call__(self, images):
        return jnp.zeros(self.shape)


@pytest.mark.parametrize("shape", [(2, 3, 3, 1, 3), (2, 3, 3, 1, 5), (2, 3, 3, 4), (1, 3, 3, 1, 4)])
def test_logits_of_another_shape_are_refused(shape):
    model = Flat(shape)
    for call in (
        lambda: log_prob(model, {}, IMAGES),
        lambda: evaluate(model, {}, IMAGES),
        lambda: sample(model, {}, jax.random.key(0), shape=IMAGES.shape[:3]),
        lambda: check_causal(model, {}, shape=IMAGES.shape[:3]),
    ):
        with pytest.raises(InputError, match=r"^model must return logits of shape \(\d, 3, 3, 1, 4\), got"):
            call()


def test_a_module_with_a_list_is_refused_before_any_work():
    for call in (log_prob, evaluate):
        with pytest.raises(InputError, match=r"^model must have fields that can be hashed"):
            call(Flat([2, 3, 3, 1, 4]), {}, IMAGES)
    with pytest.raises(InputError, match=r"^model_or_config must have fields that can be hashed"):
        fit(Flat([2, 3, 3, 1, 4]), IMAGES)
    with pytest.raises(InputError, match=r"^model\.conditioner must have fields that can be hashed"):
        log_prob(ConditionalModel(MODEL, Flat([2, 3, 3, 1, 4])), {}, IMAGES, h=IMAGES)


def test_none_is_taken_where_it_is_the_default():
    assert function(IMAGES, group=None, on_row=None)[2] is None
    assert MAX_PIXELS == 2**28


def test_calls_may_be_traced():
    variables = MODEL.init(jax.random.key(0), IMAGES)
    traced = jax.jit(lambda variables, images: log_prob(MODEL, variables, images))(variables, IMAGES)
    np.testing.assert_allclose(traced, log_prob(MODEL, variables, IMAGES), rtol=1e-6)
    jax.eval_shape(lambda key: sample(MODEL, variables, key, shape=(1, 2, 2)), jax.random.key(0))


def test_the_first_parameter_that_differs_is_named():
    variables = MODEL.clone(features=9).init(jax.random.key(0), IMAGES)
    with pytest.raises(InputError, match=r"strict.* \(3, 7, 2, 2, 8\), got \(3, 7, 2, 2, 9\)"):
        log_prob(MODEL, variables, IMAGES)
