"""The networks of 1601.06759: causal, complete but for what each is known not to see, normalised, as the paper says."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import (
    assert_causal,
    assert_complete,
    assert_faithful,
    assert_normalised,
    assert_same,
    dependence,
    random_condition,
    random_images,
    randomised,
    receptive_field,
)
from reference_predecessors import reference_logits

from pixelcnn_jax import (
    DiagonalBiLSTM,
    InputError,
    PixelCNN,
    RowLSTM,
    compress,
    decompress,
    log_prob,
    naive_sample,
    pixelcnn,
    pixelrnn,
    sample,
)
from pixelcnn_jax.models.layers import shift_down
from pixelcnn_jax.models.pixelrnn import skew, unskew
from pixelcnn_jax.sampling import draw, noise

pytestmark = pytest.mark.usefixtures("strict_dtypes")

NETWORKS = (PixelCNN, RowLSTM, DiagonalBiLSTM)
GREY = dict(levels=3, features=8, layers=2, first_kernel_size=3)
COLOUR = dict(levels=2, channels=3, features=13, layers=1, head_features=25, first_kernel_size=3)
# name: (attributes, height and width, size of h, size of s)
VARIANTS = {
    "grey": (GREY, (5, 6), 0, 0),
    "colour": (COLOUR, (3, 4), 0, 0),
    "wide kernels": (GREY | dict(layers=1, kernel_size=5, first_kernel_size=5), (4, 9), 0, 0),
    "h and s": (COLOUR, (3, 2), 2, 3),
    "codes": (dict(levels=5, channels=2, features=12, layers=1, code_features=3), (3, 3), 0, 0),
}
each_network = pytest.mark.parametrize("network", NETWORKS)


@cache
def build(network, name, batch=1):
    attributes, shape, h, s = VARIANTS[name]
    return build_model(network(**attributes), shape, h, s, batch)


def build_model(model, shape, h=0, s=0, batch=1, scale=0.2):
    condition = random_condition((batch, *shape), h, s)
    variables = model.init(jax.random.key(1), random_images(model, (batch, *shape)), condition.h, condition.s)
    return model, randomised(variables, scale=scale), shape, condition


@pytest.mark.parametrize(
    ("network", "name"),
    # A Diagonal BiLSTM has no kernel that could be wide.
    [(n, name) for n in NETWORKS for name in VARIANTS if (n, name) != (DiagonalBiLSTM, "wide kernels")],
)
def test_causal_and_complete(network, name):
    model, variables, shape, condition = build(network, name)
    assert not np.triu(receptive_field(model, shape)).any()  # so that what is complete, and no wider, is causal
    assert_complete(model, variables, shape, condition)


def sees(network, shape, pixel, **attributes):
    """The pixels that the logits of one depend on, asserted to be those that its taps lead to."""
    model, variables, shape, _ = build_model(network(levels=2, features=8, first_kernel_size=3, **attributes), shape)
    found = dependence(model, variables, shape)
    np.testing.assert_array_equal(found, receptive_field(model, shape))
    index = pixel[0] * shape[1] + pixel[1]
    return {divmod(int(other), shape[1]) for other in np.flatnonzero(found[index])}


def all_before(shape, pixel):
    return {p for p in np.ndindex(shape) if p < pixel}


def test_the_blind_spot():
    """Figure 1 of 1606.05328: to the right only what lies on or above a diagonal, however many the layers."""
    seen = sees(PixelCNN, (5, 7), (4, 1), layers=3)
    right = {(3, 3), (3, 4), (3, 5), (3, 6), (2, 4), (2, 5), (2, 6), (1, 5), (1, 6), (0, 6)}
    assert seen == all_before((5, 7), (4, 1)) - right


def test_the_triangle():
    """A Row LSTM of one layer sees, of the rows above, as much more as they are further away."""
    seen = sees(RowLSTM, (4, 9), (3, 4), layers=1)
    rows = {0: range(8), 1: range(7), 2: range(1, 6), 3: range(2, 4)}
    assert seen == {(r, c) for r, columns in rows.items() for c in columns}


def test_the_full_past_but_for_a_pixel():
    """A Diagonal BiLSTM misses the last pixel of the row above unless the first convolution reaches it."""
    seen = sees(DiagonalBiLSTM, (4, 6), (2, 1), layers=1)
    assert seen == all_before((4, 6), (2, 1)) - {(1, 5)}
    assert sees(DiagonalBiLSTM, (4, 6), (2, 4), layers=1) == all_before((4, 6), (2, 4))


@each_network
@pytest.mark.parametrize(("attributes", "shape", "h", "s"), [(GREY, (2, 2), 0, 0), (COLOUR, (1, 3), 2, 3)])
def test_normalised(network, attributes, shape, h, s):
    model, variables, shape, condition = build_model(network(**attributes), shape, h, s)
    assert_normalised(model, variables, shape, condition)


@each_network
@pytest.mark.parametrize("name", ["grey", "colour", "h and s", "wide kernels", "codes"])
def test_as_the_paper_says_pixel_by_pixel(network, name):
    matches_the_reference(*build(network, name))


def matches_the_reference(model, variables, shape, condition):
    image = random_images(model, (1, *shape), key=2)
    given = (None if value is None else np.asarray(value[0]) for value in condition)
    expected = reference_logits(model, variables["params"], np.asarray(image[0]), *given)
    found = jax.jit(lambda *args: model.apply(*args))(variables, image, *condition)[0]  # traced anew, for mutations
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@each_network
def test_samples_and_completions(network):
    model, variables, shape, condition = build(network, "h and s", batch=2)
    given = random_images(model, (2, *shape), key=9)
    upper = np.arange(shape[0]) < 1
    mask = upper[None, :, None, None]
    completed = assert_same(model, variables, (2, *shape), condition, given=given, mask=mask)
    np.testing.assert_array_equal(completed[:, :1], given[:, :1])
    # Told by one pass over the finished images: each sub-pixel below is what its noise makes of its own logits.
    logits, keys = model.apply(variables, completed, *condition), jax.random.split(jax.random.key(3), 2)
    for row in range(1, shape[0]):
        gumbel = noise(keys, row, width=shape[1], channels=model.channels, levels=model.levels)
        found = draw(logits[:, row].reshape(-1, model.levels), gumbel.reshape(-1, gumbel.shape[-1]))
        np.testing.assert_array_equal(found, completed[:, row].ravel())
    with pytest.raises(InputError, match=r"needs h of shape \[2, 2\]"):
        sample(model, variables, jax.random.key(0), shape=(2, *shape), s=condition.s)


def test_faithful():
    model, variables, shape, condition = build_model(DiagonalBiLSTM(**GREY), (2, 2), 2, 0, scale=0.4)
    assert_faithful(model, variables, shape, condition, sampler=naive_sample)


@each_network
def test_decodable(network):
    model, variables, shape, condition = build(network, "h and s")
    images, given = np.asarray(random_images(model, (1, *shape))), condition._asdict()
    data = compress(model, variables, images, **given, verify=False)
    np.testing.assert_array_equal(decompress(model, variables, data, **given), images)
    with pytest.raises(InputError, match="another h or s"):
        decompress(model, variables, data, h=condition.h, s=condition.s + 1)


@each_network
def test_dropout_and_bfloat16(network):
    model = network(**GREY | dict(dropout=0.5, dtype=jnp.bfloat16))
    images = random_images(model, (2, 4, 3))
    variables = model.init(jax.random.key(0), images)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

    @jax.jit  # once for the three: compiling is what takes time
    def outputs(variables):
        dropped = model.apply(variables, images, deterministic=False, rngs={"dropout": jax.random.key(1)})
        exact = model.clone(dtype=jnp.float32).apply(variables, images)
        return model.apply(variables, images), exact, dropped

    plain, exact, dropped = outputs(variables)
    assert plain.dtype == dropped.dtype == jnp.float32
    assert 0 < jnp.abs(plain - exact).max() < 0.1
    assert (dropped != plain).any()


@each_network
@pytest.mark.parametrize(
    ("fields", "told"),
    [(dict(kernel_size=4), "kernel_size must be odd"), (dict(channels=3, features=2), "features must be at least one")],
)
def test_a_network_that_cannot_be_built_is_refused(network, fields, told):
    with pytest.raises(InputError, match=told):
        network(**fields)


@pytest.mark.usefixtures("unchecked_shapes")
@each_network
def test_what_does_not_fit_is_refused(network):
    model, variables, shape, condition = build(network, "h and s")
    images = random_images(model, (1, *shape))
    wrong = jnp.zeros((1, 3))
    for arguments, told in (
        (dict(h=condition.h), r"needs s of shape \[1, 3, 2, 3\]"),
        (dict(h=wrong, s=condition.s), r"h must have shape \[1, 2\], not \[1, 3\]"),
    ):
        with pytest.raises(InputError, match=told):
            log_prob(model, variables, images, **arguments)
        with pytest.raises(InputError, match=told):
            sample(model, variables, jax.random.key(0), shape=(1, *shape), **arguments)
    with pytest.raises(InputError, match=r"\[batch, height, width, 3\]"):
        log_prob(model, variables, images[..., :1], **condition._asdict())


# The diagonals


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (4, 1), (3, 5), (5, 3)])
@pytest.mark.parametrize("features", [(), (2, 3)])
def test_skew_moves_row_r_by_r_and_unskew_undoes_it(height, width, features):
    x = np.arange(1, 1 + 2 * height * width * int(np.prod(features))).reshape(2, height, width, *features)
    expected = np.zeros((2, height, height + width - 1, *features), x.dtype)
    for r, c in np.ndindex(height, width):
        expected[:, r, r + c] = x[:, r, c]
    np.testing.assert_array_equal(skew(jnp.array(x)), expected)
    np.testing.assert_array_equal(unskew(jnp.array(expected)), x)


def test_a_shift_moves_every_row_down_by_one():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    shifted = shift_down(x)
    np.testing.assert_array_equal(shifted[:, 0], np.zeros((2, 4, 5)))
    np.testing.assert_array_equal(shifted[:, 1:], x[:, :-1])


# The traps, put in on purpose


def no_row_shift(monkeypatch):
    monkeypatch.setattr(pixelrnn, "shift_down", lambda x: x)


def mask_b_in_the_first_layer(monkeypatch):
    original = pixelcnn.masked_convolution
    monkeypatch.setattr(
        pixelcnn, "masked_convolution", lambda layer, x, mask: original(layer, x, mask=np.ones_like(mask))
    )


def no_mask_on_a_1x1(monkeypatch):
    original = pixelcnn.colour_masks

    def changed(model):
        masks = original(model)
        return masks._replace(up=np.ones_like(masks.up))

    monkeypatch.setattr(pixelcnn, "colour_masks", changed)


def no_mask_on_the_input_of_a_gate(monkeypatch):
    original = pixelrnn.mask_kernel

    def changed(kernel, mask):
        masked = original(kernel, mask)
        return masked.at[:, 1].set(kernel[:, 1])

    monkeypatch.setattr(pixelrnn, "mask_kernel", changed)


def states_of_the_row_itself(monkeypatch):
    """State-to-state over the states of its own row, too."""
    original = pixelrnn.row_lstm

    def changed(layer, *args, mask):
        hidden = original(layer, *args, mask=mask)
        window = jnp.pad(hidden, ((0, 0), (0, 0), (1, 1), (0, 0)))
        return hidden + pixelrnn.window_product(window, layer["state"]["kernel"])[..., 0, :]

    monkeypatch.setattr(pixelrnn, "row_lstm", changed)


def one_state_for_both_neighbours(monkeypatch):
    """A column of states read one row too low: of the pixel to the left that below it, too."""
    original = pixelrnn.window_product
    monkeypatch.setattr(pixelrnn, "window_product", lambda window, kernel: original(jnp.roll(window, -1, 1), kernel))


def initial_states_that_are_not_learned(monkeypatch):
    original = pixelrnn.initial_state
    monkeypatch.setattr(
        pixelrnn, "initial_state", lambda *args: jax.tree.map(lambda x: jnp.zeros_like(x), original(*args))
    )


def a_block_without_a_relu(monkeypatch):
    monkeypatch.setattr(pixelcnn, "block", partial(_without_relu, pixelcnn.block))


def _without_relu(block, *args, **kwargs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.nn, "relu", lambda x: x)
        return block(*args, **kwargs)


@pytest.mark.parametrize(
    ("network", "trap"),
    [
        (DiagonalBiLSTM, no_row_shift),
        (PixelCNN, mask_b_in_the_first_layer),
        (RowLSTM, mask_b_in_the_first_layer),
        (PixelCNN, no_mask_on_a_1x1),
        (DiagonalBiLSTM, no_mask_on_a_1x1),
        (RowLSTM, no_mask_on_the_input_of_a_gate),
        (DiagonalBiLSTM, no_mask_on_the_input_of_a_gate),
        (RowLSTM, states_of_the_row_itself),
    ],
)
def test_traps_that_see_the_future(monkeypatch, network, trap):
    built = build(network, "colour")
    trap(monkeypatch)
    with pytest.raises(AssertionError, match="see the future"):
        assert_causal(*built)


@pytest.mark.parametrize(
    ("network", "trap"),
    [
        (RowLSTM, initial_states_that_are_not_learned),
        (DiagonalBiLSTM, initial_states_that_are_not_learned),
        (DiagonalBiLSTM, one_state_for_both_neighbours),
        (PixelCNN, a_block_without_a_relu),
    ],
)
def test_traps_that_are_another_network(monkeypatch, network, trap):
    built = build(network, "grey")
    trap(monkeypatch)
    with pytest.raises(AssertionError):
        matches_the_reference(*built)
