"""Integer models: members of the zoo, with equality where the float networks have tolerances."""

from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from integer_models import BINARY, CODES, COLOUR, COUNTS, GREY, MIXTURE, PREDICTION, condition_of, make_integer
from proofs import assert_faithful, assert_normalised, assert_same, random_images, randomised

from pixelcnn_jax import InputError, compress, decompress, evaluate, load_pretrained, log_prob, nll, quantise
from pixelcnn_jax.codec.bounds import check_bounds
from pixelcnn_jax.codec.frequencies import interval
from pixelcnn_jax.codec.quantise import _with_constant_h
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, ConstantCondition
from pixelcnn_jax.zoo.pretrained import save_pretrained

pytestmark = pytest.mark.usefixtures("strict_dtypes")
MODELS = {
    "grey": (GREY,),
    "binary": (BINARY, 3),
    "colour": (COLOUR, 4, 2),
    "codes": (CODES,),
    "mixture": (MIXTURE,),
    "prediction": (PREDICTION,),
}  # classes, maps


@pytest.fixture(scope="module", params=MODELS)
def built(request):
    """An integer model, its variables, and the numbers of its classes and maps."""
    model, *sizes = MODELS[request.param]
    return *make_integer(model, *sizes)[1:], sizes


@partial(jax.jit, static_argnums=0)
def frequencies_and_intervals(model, variables, images, condition):
    """Frequencies of all levels, from their logarithms; the sum below each value, and its frequency."""
    log_frequencies = model.apply(variables, images, *condition)
    distribution, numbers = model.apply(variables, images, condition, method="integer_outputs")
    intervals = interval(distribution, distribution.read(numbers), images)
    return jnp.rint(2**model.total_bits * jnp.exp(log_frequencies)).astype(jnp.int32), *intervals


@pytest.mark.parametrize("case", [*MODELS.values(), (COUNTS, 0, 1)])
def test_it_is_close_to_the_float_network(case):
    model, *sizes = case
    # A mixture with larger weights gives some values less than the least frequency.
    variables, integer, integers = make_integer(model, *sizes, scale=0.1 if model.mixture else 0.3)
    images = random_images(model, (20, 6, 6), key=2)
    given = condition_of(images.shape, *sizes, seed=4)._asdict()
    exact, ours = (np.asarray(log_prob(*pair, images, **given)) for pair in ((model, variables), (integer, integers)))
    np.testing.assert_allclose(ours, exact, rtol=0.02)


def test_log_prob_is_that_of_the_frequencies(built):
    model, variables, sizes = built
    images, condition = random_images(model, (3, 5, 4), key=1), condition_of((3, 5, 4), *sizes)
    total = 2**model.total_bits
    frequencies, starts, actual = map(np.asarray, frequencies_and_intervals(model, variables, images, condition))
    assert (frequencies.sum(axis=-1) == total).all()
    assert frequencies.min() >= 1
    below = np.cumsum(frequencies, axis=-1) - frequencies
    for x, expected in ((starts, below), (actual, frequencies)):
        np.testing.assert_array_equal(x, np.take_along_axis(expected, np.asarray(images)[..., None], -1)[..., 0])
    expected = np.log(actual / total).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(log_prob(model, variables, images, **condition._asdict()), expected, rtol=1e-6)


def test_it_is_normalised_and_cached_sampling_is_naive_sampling(built):
    model, variables, sizes = built
    assert_same(model, variables, (3, 5, 4), condition_of((3, 5, 4), *sizes))
    shape = (1, 2) if model.channels > 1 else (2, 2)
    assert_normalised(model, variables, shape, condition_of((1, *shape), *sizes))


def test_samples_follow_the_enumerated_distribution():
    _, model, variables = make_integer(BINARY)
    assert_faithful(model, variables, (2, 2))


def test_an_integer_model_is_saved_and_loaded_as_integers(tmp_path):
    _, model, variables = make_integer(COLOUR, 4)
    save_pretrained(tmp_path, model, variables, image_shape=(6, 6))
    loaded = load_pretrained(tmp_path)
    assert (loaded.model, loaded.card["dtype"]) == (model, "integer")
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    assert all(jnp.issubdtype(x.dtype, jnp.integer) for x in jax.tree.leaves(loaded.variables))
    with pytest.raises(InputError, match="cannot be trained"):
        nll(model, variables, jnp.zeros((1, 6, 6, 3), int), h=jnp.eye(4)[:1], key=jax.random.key(0))


def test_the_integer_model_of_a_constant_condition_needs_no_h():
    images = random_images(BINARY, (20, 4, 4))
    variables = randomised(BINARY.init(jax.random.key(0), images, jnp.zeros((20, 3))))
    alone, of_alone = ConditionalModel(BINARY, ConstantCondition(3, 1)), {"params": {"network": variables["params"]}}
    folded = log_prob(*_with_constant_h(alone, of_alone), images)
    np.testing.assert_allclose(folded, log_prob(alone, of_alone, images), rtol=1e-5)
    model, integers = quantise(alone, of_alone, images)
    np.testing.assert_array_equal(decompress(model, integers, compress(model, integers, images)), images)


# A model, the numbers of its classes, the place of a parameter, what is wrong with it, and what the error names.
DAMAGES = [
    *(
        (BINARY, 3, path, lambda x: np.where(x == 0, x, 2**22), named)  # masks stay
        for path, named in [
            (("first", "vertical", "kernel"), "vertical sums"),
            (("layers", "vertical_h"), "vertical sums"),
            (("layers", "horizontal", "bias"), "horizontal sums"),
            (("layers", "out", "bias"), "out sums"),
            (("layers", "clips", "crossing"), "horizontal sums"),
            (("layers", "shifts", "input"), "between 1 and 25"),
            (("head", "hidden", "bias"), "hidden"),
            (("head", "logits", "bias"), "logits"),
            (("head", "clips", "input"), "hidden"),
            (("tables", "tanh"), "tables"),
            (("tables", "exp"), "exp"),
        ]
    ),
    (MIXTURE, 0, ("tables", "logistic"), lambda x: x[::-1], "logistic"),
    (MIXTURE, 0, ("tables", "logistic"), lambda x: x + 1, "logistic"),
    (MIXTURE, 0, ("tables", "slopes"), lambda x: x * 0, "slopes"),
    (MIXTURE, 0, ("tables", "slope_shifts"), np.negative, "slope_shifts"),
    (COLOUR, 0, ("layers", "out", "kernel"), lambda x: x + 1, "masked"),  # it reads later colours
]


@pytest.mark.parametrize(("model", "classes", "path", "change", "named"), DAMAGES)
def test_what_could_overflow_or_fall_or_see_the_future_is_refused(model, classes, path, change, named):
    _, model, variables = make_integer(model, classes)
    *parents, last = path
    part = reduce(dict.__getitem__, parents, variables["params"])
    part[last] = change(np.asarray(part[last], np.int32))
    with pytest.raises(InputError, match=named):
        check_bounds(model, variables)


def test_floats_and_more_levels_than_frequencies_hold_are_refused():
    variables, model, integers = make_integer(GREY)
    with pytest.raises(InputError, match="quantise"):
        check_bounds(model, variables)
    with pytest.raises(InputError, match="levels must be at most"):
        check_bounds(model.clone(levels=5000), integers)


def test_networks_without_an_integer_form_are_refused():
    with pytest.raises(InputError, match="4096 levels, or 65536 with a mixture"):
        quantise(GREY.clone(levels=5000), {}, random_images(GREY, (2, 3, 3)))
    _, model, variables = make_integer(BINARY, 3)
    with pytest.raises(InputError, match="one-hot"):
        log_prob(model, variables, random_images(model, (1, 3, 3)), h=np.full((1, 3), 0.5, np.float32))
    with pytest.raises(InputError, match="one-hot"):
        evaluate(model, variables, random_images(model, (2, 3, 3)), h=np.float32([[1, 0, 0], [0.5, 0.5, 0]]))
