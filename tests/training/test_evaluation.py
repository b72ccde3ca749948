"""The likelihood of a data set: every image once and in order, its mean and interval, and one program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from array_sets import from_array
from networks import Uniform
from proofs import random_images, randomised

from pixelcnn_jax import GatedPixelCNN, InputError, evaluate, fit, log_prob
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder
from pixelcnn_jax.training.evaluation import make_evaluator, score

MODEL = GatedPixelCNN(levels=3, features=4, layers=1, first_kernel_size=3)
IMAGES = np.asarray(random_images(MODEL, (11, 2, 3)))
LABELS = np.arange(11) % 3


@pytest.fixture(scope="module")
def variables():
    return randomised(MODEL.init(jax.random.key(0), IMAGES[:1], np.zeros((1, 3), np.float32)))


@pytest.mark.parametrize("images", [IMAGES, IMAGES.astype(np.uint8), jax.numpy.asarray(IMAGES), IMAGES[..., 0]])
def test_the_interval_is_that_of_the_mean_by_hand(variables, images):
    nats = -np.asarray(log_prob(MODEL, variables, IMAGES, h=LABELS), np.float64)
    actual = evaluate(MODEL, variables, images, h=LABELS, batch_size=8)  # the second batch has 3 of 8
    mean, error = nats.sum() / 11, np.sqrt(((nats - nats.mean()) ** 2).sum() / 10 / 11)
    expected = (mean, mean / (6 * np.log(2)), error, (mean - 1.96 * error, mean + 1.96 * error), 11)
    for mine, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4)


def test_h_may_have_any_type_of_floating_point(variables):
    h = jax.random.normal(jax.random.key(0), (11, 3), jax.numpy.bfloat16)
    expected = -log_prob(MODEL, variables, IMAGES, h=h).mean()
    np.testing.assert_allclose(evaluate(MODEL, variables, IMAGES, h=h).nats, expected, rtol=1e-5)


def test_one_image_has_no_interval_and_one_program_serves_all_batches_and_the_next_call(variables):
    actual = evaluate(MODEL, variables, IMAGES[:1], h=LABELS[:1])
    assert (actual.standard_error, actual.interval) == (np.inf, (-np.inf, np.inf))
    for seed in (0, 1):
        images = np.random.default_rng(seed).integers(0, 4, (19, 2, 2, 1))
        actual = evaluate(Uniform(levels=4), {"params": {}}, images, batch_size=8)
        np.testing.assert_allclose(actual.bits_per_dim, 2, rtol=1e-6)
        assert actual.standard_error < 1e-6
    assert Uniform.traced.count((8, 2, 2, 1)) == 1


@pytest.mark.parametrize(
    ("images", "h", "named"),
    [
        (IMAGES, LABELS[:10], "h must have a row for each of the 11"),
        (IMAGES, LABELS + 1, "h must hold integers 0 to 2"),
        (IMAGES + 1, LABELS, "images must hold integers 0 to 2, got 1 to 3"),
        (IMAGES[:0], LABELS[:0], "images must hold at least one"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_does_not_fit_is_refused(variables, images, h, named):
    with pytest.raises(InputError, match=f"^{named}"):
        evaluate(MODEL, variables, images, h=h)


def test_the_h_of_every_image_is_checked():
    model, tokens = ConditionalModel(MODEL, TextEncoder((2, 3, 2), words=("red",))), np.ones((11, 1), int)
    variables, tokens[7] = model.init(jax.random.key(0), IMAGES, tokens), -1
    for call in (lambda: evaluate(model, variables, IMAGES, h=tokens), lambda: fit(model, IMAGES, h=tokens, steps=1)):
        with pytest.raises(InputError, match=r"^h must hold integers 0 to 1, got -1"):
            call()


def numbered(count):
    return from_array(np.arange(count).reshape(count, 1, 1, 1), levels=count)


def value(params, batch):
    return params * batch["image"][:, 0, 0].astype(jnp.float32) * jnp.array([[1, -1]])


@pytest.mark.parametrize(("batch_size", "microbatch_size"), [(8, None), (5, None), (16, 8), (6, 3), (48, 3), (48, 24)])
@pytest.mark.parametrize("count", [7, 48, 50])
def test_every_image_is_counted_once_and_in_order(count, batch_size, microbatch_size):
    values_of = make_evaluator(value, batch_size=batch_size, microbatch_size=microbatch_size)
    actual = values_of(jnp.float32(2), numbered(count))
    np.testing.assert_array_equal(actual, np.outer(2 * np.arange(count), [1, -1]))


def test_a_score_is_the_mean_in_nats_and_in_bits_per_dim():
    actual = score(np.arange(7, dtype=np.float32), numbered(7))
    assert (actual["images"], actual["nats"], actual["data"]) == (7, 3.0, "array")
    np.testing.assert_allclose(actual["bits_per_dim"], 3.0 / np.log(2))
