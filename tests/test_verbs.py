"""The public edge: whatever the caller gives is one density by every verb, or is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import CLASSES, Table
from proofs import random_images, randomised

from pixelcnn_jax import GatedPixelCNN, InputError, bits_per_dim, check_causal, evaluate, fit, log_prob
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.sampling import naive_sample, sample, sample_and_log_prob

KEY, SHAPE = jax.random.key(0), (CLASSES, 2, 3)  # an image of each class
LABELS, EVERYWHERE = np.arange(CLASSES), np.ones((1, 1, 1, 1), bool)


class Mapped(Table):
    """A user's network given a map alone."""

    def __call__(self, images, s):
        return super().__call__(images, jnp.repeat(s[:, 0, 0], CLASSES, axis=1))


class Ones(nn.Module):
    """A conditioner without parameters."""

    def __call__(self, h):
        return jnp.broadcast_to(h[:, None, None, :1], (len(h), 2, 3, 1))


OURS = GatedPixelCNN(levels=3, features=4, layers=1, first_kernel_size=3)
IMAGES = np.asarray(random_images(OURS, SHAPE))


VECTORS = np.eye(CLASSES, dtype=np.float32)
CASES = {
    "ours, vectors": (OURS, VECTORS),
    "ours, labels": (OURS, LABELS),
    "ours, integer vectors": (OURS, VECTORS.astype(int)),
    "own, vectors": (Table(), VECTORS),
    "own, labels": (Table(), LABELS),
    "own, uint8": (Table(), LABELS.astype(np.uint8)),
    "conditioner": (ConditionalModel(OURS, Ones()), VECTORS),
    "own, conditioner": (ConditionalModel(Mapped(), Ones()), VECTORS),
}


def case(name):
    """Returns a model, its variables and what a caller may give as h."""
    model, h = CASES[name]
    return model, randomised(model.init(KEY, IMAGES, VECTORS if model is OURS else h)), h


@pytest.mark.parametrize("name", CASES)
def test_one_density_by_every_verb(name):
    model, variables, h = case(name)
    drawn, expected = sample_and_log_prob(model, variables, KEY, shape=SHAPE, h=h)
    actual = log_prob(model, variables, drawn, h=h)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    single = [float(log_prob(model, variables, drawn[i : i + 1], h=h[i : i + 1])[0]) for i in range(CLASSES)]
    np.testing.assert_allclose(actual, single, rtol=1e-5)
    np.testing.assert_array_equal(sample(model, variables, KEY, shape=SHAPE, h=h), drawn)
    np.testing.assert_array_equal(naive_sample(model, variables, KEY, shape=SHAPE, h=h), drawn)
    np.testing.assert_allclose(evaluate(model, variables, drawn, h=h).nats, -actual.mean(), rtol=1e-5)
    check_causal(model, variables, shape=SHAPE, h=h)
    options = dict(steps=1, learning_rate=1e-12, validation=np.arange(3), progress=False, batch_size=8)
    (record,) = (x for x in fit(model, drawn, h=h, variables=variables, levels=3, **options).history if len(x) == 3)
    np.testing.assert_allclose(
        record["validation_bits_per_dim"], bits_per_dim(model, variables, drawn[:3], h=h[:3]).mean(), rtol=1e-4
    )


def test_labels_are_one_hot_vectors():
    (model, variables, labels), vectors = case("ours, labels"), np.eye(CLASSES)
    by_labels = log_prob(model, variables, IMAGES, h=labels)
    for h in (vectors, vectors == 1):
        np.testing.assert_array_equal(log_prob(model, variables, IMAGES, h=h), by_labels)
    by_labels, by_bool = (log_prob(model, variables, IMAGES, h=h) for h in (labels % 2, labels % 2 == 1))
    np.testing.assert_array_equal(by_bool, by_labels)
    by_labels, by_vectors = (sample(model, variables, KEY, shape=SHAPE, h=h, guidance=1.0) for h in (labels, vectors))
    np.testing.assert_array_equal(by_labels, by_vectors)


@pytest.mark.parametrize("name", ["ours, labels", "own, labels"])
@pytest.mark.parametrize("change", [lambda x: x[..., 0], lambda x: x.astype(">i4"), lambda x: x.astype(np.uint64)])
def test_one_rule_for_images(name, change):
    model, variables, h = case(name)
    expected = bits_per_dim(model, variables, IMAGES, h=h)
    np.testing.assert_array_equal(bits_per_dim(model, variables, change(IMAGES), h=h.astype(">i8")), expected)
    mask = np.ones((1, 2, 3, 1), bool)
    kept = sample(model, variables, KEY, shape=SHAPE, h=h, observed=change(IMAGES), mask=mask)
    np.testing.assert_array_equal(kept, IMAGES)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (dict(h=np.full(CLASSES, 2**32 + 1)), "h must be finite and fit into int32"),
        (dict(h=np.full((CLASSES, CLASSES), 1e39)), "h must be finite"),
        (dict(h=None), r"h must be given as floats of shape \[4, 4\] \(for class labels, jax.nn.one_hot\(labels, 4"),
        (dict(h=LABELS[:3]), "h must have a row for each of the 4"),
        (dict(observed=IMAGES.astype(np.int64) + 2**32, mask=EVERYWHERE), "observed must hold integers"),
        (dict(observed=IMAGES, mask=np.ones((4, 1), bool)), "mask must have shape"),
        (dict(observed=IMAGES), "mask must have shape"),
        (dict(observed=IMAGES[:, 1:], mask=EVERYWHERE), "observed must have shape"),
        (dict(key=jax.random.split(KEY, 3)), "key must be one key or one for each"),
        (dict(shape=(*SHAPE, 1)), "shape must be"),
        (dict(temperature=jnp.ones(CLASSES)), "temperature must be one number"),
        (dict(temperature=0.0), "temperature must be"),
        (dict(temperature=np.nan), "temperature must be"),
        (dict(guidance=-1.0), "guidance must be"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_would_be_silent_is_refused(arguments, named):
    model, variables, h = case("ours, labels")
    with pytest.raises(InputError, match=f"^{named}"):
        sample(model, variables, **dict(key=KEY, shape=SHAPE, h=h) | arguments)


def test_labels_of_a_network_of_ones_own_have_no_guidance():
    model, variables, h = case("own, labels")
    with pytest.raises(InputError, match=r"^guidance must be 0"):
        sample(model, variables, KEY, shape=SHAPE, h=h, guidance=1.0)


@pytest.mark.parametrize("name", ["ours, vectors", "own, vectors"])
def test_numbers_that_are_not_finite_draw_no_image(name):
    model, variables, h = case(name)
    broken = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), variables)
    for sampler in (sample, naive_sample):
        with pytest.raises(InputError, match=r"^The logits are NaN or infinite"):
            sampler(model, broken, KEY, shape=SHAPE, h=h)
    with pytest.raises(InputError, match=r"^model has logits that are NaN"):
        check_causal(model, broken, shape=SHAPE, h=h)
    with pytest.raises(InputError, match=r"^The logits are NaN or infinite"):
        evaluate(model, broken, IMAGES, h=h)
    images, nats = jax.jit(lambda h: sample_and_log_prob(model, variables, KEY, shape=SHAPE, h=h))(h * np.nan)
    assert (images == -1).all()
    assert np.isnan(nats).all()


def test_variables_and_h_of_another_byte_order():
    model, variables, h = case("ours, vectors")
    expected, logits = log_prob(model, variables, IMAGES, h=h), model.apply(variables, IMAGES, h)
    swapped = jax.tree.map(lambda x: np.asarray(x).astype(">f4"), variables)
    np.testing.assert_array_equal(log_prob(model, swapped, IMAGES, h=h), expected)
    np.testing.assert_allclose(evaluate(model, swapped, IMAGES, h=h).nats, -expected.mean(), rtol=1e-6)
    np.testing.assert_array_equal(log_prob(model, variables | {"extra": {"key": KEY}}, IMAGES, h=h), expected)
    np.testing.assert_array_equal(model.apply(variables, IMAGES, h.astype(">f4")), logits)


class Leaky(Table):
    leak: float = 0.0

    def __call__(self, images, h):
        logits, last = super().__call__(images, h), images[:, -1, -1] == 2
        return logits.at[..., 0].add(jnp.where(last[:, None, None], self.leak, 0.0))


@pytest.mark.parametrize("leak", [np.nan, np.inf, -np.inf])
def test_a_leak_of_numbers_that_are_not_finite_is_found(leak):
    variables = Table().init(KEY, IMAGES, LABELS)
    with pytest.raises(InputError, match=r"^model (is not causal|has logits that are NaN)"):
        check_causal(Leaky(leak=leak), variables, shape=SHAPE, h=LABELS)


def test_traced_values_that_are_no_levels_are_seen_in_the_result():
    model, variables, h = case("ours, labels")
    images = IMAGES.copy()
    images[0, 0, 0], images[1, 1, 2] = -1, 3
    nats = jax.jit(lambda images: log_prob(model, variables, images, h=h))(images)
    assert np.isnan(nats).tolist() == [True, True, False, False]
    kept = jax.jit(
        lambda x: sample(model, variables, KEY, shape=SHAPE, h=h, observed=x, mask=jnp.ones((1, 1, 1, 1), bool))
    )
    np.testing.assert_array_equal(kept(images), np.where(images == 3, -1, images))


def test_keys_and_temperatures_of_every_kind():
    model, variables, h = case("ours, labels")
    expected = sample(model, variables, KEY, shape=SHAPE, h=h, temperature=0.5)
    for key, temperature in ((jax.random.PRNGKey(0), 0.5), (KEY, jnp.float32(0.5))):
        actual = sample(model, variables, key, shape=SHAPE, h=h, temperature=temperature)
        np.testing.assert_array_equal(actual, expected)
    compiled = jax.jit(lambda key: sample(model, variables, key, shape=SHAPE, h=h, temperature=jnp.float32(0.5)))
    np.testing.assert_array_equal(compiled(KEY), expected)
    both = jax.vmap(lambda t: sample(model, variables, KEY, shape=SHAPE, h=h, temperature=t))(jnp.array([0.5, 1.0]))
    np.testing.assert_array_equal(both, [expected, sample(model, variables, KEY, shape=SHAPE, h=h)])


def test_equal_models_compare_equal_and_init_with_output_gives_the_logits_of_apply():
    assert OURS.clone(dtype="bfloat16") == OURS.clone(dtype=jnp.bfloat16) != OURS.clone(dtype=np.float32) == OURS
    logits, variables = OURS.init_with_output(KEY, IMAGES)
    np.testing.assert_allclose(logits, OURS.apply(variables, IMAGES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 2, 3, 1, 4), (4, 2, 3, 3), (1, 2, 3, 1, 3)])
def test_logits_of_another_shape_are_refused(shape):
    class Flat(nn.Module):
        levels: int = 3
        channels: int = 1

        def __call__(self, images):
            return jnp.zeros(shape)

    for call in (
        lambda: log_prob(Flat(), {}, IMAGES),
        lambda: evaluate(Flat(), {}, IMAGES),
        lambda: sample(Flat(), {}, KEY, shape=SHAPE),
        lambda: check_causal(Flat(), {}, shape=SHAPE),
    ):
        with pytest.raises(InputError, match=r"^model must return logits of shape \(\d, 2, 3, 1, 3\), got"):
            call()


def test_the_first_parameter_that_differs_is_named():
    variables = OURS.clone(features=9).init(KEY, IMAGES)
    with pytest.raises(InputError, match=r"first.* \(1, 3, 2, 2, 4\), got \(1, 3, 2, 2, 9\)"):
        sample(OURS, variables, KEY, shape=SHAPE)
