"""Known mistakes of public implementations, planted on purpose: each must fail the law that guards against it."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import GREY, build, build_model, matches_the_reference
from proofs import assert_causal, assert_complete, assert_normalised, assert_same

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM
from pixelcnn_jax.models import autoregressive, colours, gated_pixelcnn, gated_stream, layers
from pixelcnn_jax.models.predecessors import pixelcnn, pixelrnn, residual

COLOUR = dict(levels=2, channels=3, features=24, layers=1, first_kernel_size=3)
COLOUR_OF = np.arange(24)[:, None] // 8  # of a feature


def gated(attributes, *args, scale=0.1):
    return build_model(GatedPixelCNN(**attributes), *args, scale=scale)


def spatial():
    assert_complete(*gated(GREY, (4, 4)))


def colour():
    assert_complete(*gated(COLOUR, (2, 3)))


def figure_2():
    matches_the_reference(*gated(COLOUR | dict(layers=2), (3, 3), 2))


def normalised():
    assert_normalised(*gated(GREY, (2, 2)))


def attention_is_cached():
    model, variables, shape, _ = gated(GREY | dict(attention=1), (4, 3), scale=0.5)
    assert_same(model, variables, (8, *shape))


def causal(network):
    assert_causal(*build(network, "colour"))


def as_its_paper_says(network):
    matches_the_reference(*build(network, "grey"))


masked, row, diagonal = (partial(causal, network) for network in (PixelCNN, RowLSTM, DiagonalBiLSTM))
TRAPS = []  # the law that must fail, a module, the name of a function in it, and what makes a wrong function of it


def trap(law, module, name):
    def add(mistake):
        TRAPS.append(pytest.param(law, module, name, mistake, id=f"{mistake.__name__}-{len(TRAPS)}"))
        return mistake

    return add


@trap(spatial, gated_pixelcnn, "shift_down")
def no_shift(_):
    return lambda x: x


@trap(spatial, layers, "vertical_conv")
def own_row_excluded_in_every_layer(right):
    return lambda kernel, x, memory: right(kernel, layers.shift_down(x), memory)


@trap(spatial, layers, "horizontal_conv_valid")
def left_columns_include_the_pixel(right):
    return lambda kernel, x: right(kernel, jnp.roll(x, -1, axis=2))


@trap(colour, colours, "colour_groups")
def interleaved_colour_groups(_):
    return lambda features, channels: np.arange(features) % channels


def mask_b(mask):
    shifted = np.concatenate([mask[:1], np.roll(mask, -1, 0)[1:]])
    return shifted | (np.arange(4)[:, None] - 1 <= COLOUR_OF.T)


# A law, the module whose masks are changed, which of them, and how.
for law, module, name, change in [
    (colour, colours, "first", mask_b),
    (colour, colours, "inner", lambda mask: np.tril(mask.T, -8).T),  # mask A
    (colour, colours, "logits", lambda mask: mask & (COLOUR_OF < np.arange(6) // 2)),  # mask A
    (colour, colours, "hidden", np.ones_like),
    (colour, colours, "inner", np.ones_like),
    (masked, residual, "first", np.ones_like),
    (row, residual, "first", np.ones_like),
    (masked, residual, "up", np.ones_like),
    (diagonal, residual, "up", np.ones_like),
    (row, residual, "down", np.ones_like),
    (diagonal, residual, "down", np.ones_like),
]:

    @trap(law, module, "colour_masks")
    def another_mask(right, name=name, change=change):
        return lambda model: right(model)._replace(**{name: change(getattr(right(model), name))})


@trap(figure_2, gated_pixelcnn, "vertical_layer")
def crossing_after_the_gate(right):
    def changed(layer, *inputs):
        half, kernel = right(layer, *inputs), layer["crossing"]["kernel"]  # its inputs are one axis or two
        kernel = kernel.reshape(-1, *kernel.shape[kernel.ndim // 2 :])
        crossing = jnp.tensordot(jnp.tile(half.out, 2), kernel, axes=1)
        return half._replace(crossing=layers.add_bias(crossing, layer["horizontal"]["bias"]))

    return changed


@trap(attention_is_cached, gated_stream, "no_rows")
def rows_above_the_image_are_read(right):
    return lambda *args, remembered: right(*args, remembered=remembered)._replace(row=np.full(8, remembered))


@trap(figure_2, gated_pixelcnn, "vertical_layer")
def residual_in_the_vertical_stack(right):
    def changed(layer, x, *inputs):
        half = right(layer, x, *inputs)
        return half._replace(out=half.out + x) if x.shape == half.out.shape else half

    return changed


@trap(figure_2, layers, "horizontal_layer")
def no_residual(right):
    return lambda *args, **options: right(*args, **options | dict(residual=False))


@trap(figure_2, autoregressive, "encode")
def zero_border_that_looks_like_grey(right):
    return lambda *args: right(*args).at[..., 0].set(0.0)


@trap(figure_2, layers, "condition_terms")
def h_in_one_stack_only(right):
    return lambda layer, stack, condition: right(layer, stack, condition) if stack == "vertical" else 0.0


@trap(figure_2, layers, "condition_terms")
def h_in_one_half_of_the_gate(right):
    return lambda *args: right(*args).at[..., 1, :].set(0.0)


@trap(normalised, autoregressive, "log_probs_of")
def softmax_over_columns(_):
    def changed(logits, images):
        chosen = jnp.take_along_axis(logits, images[..., None], axis=-1)[..., 0]
        return chosen - jax.nn.logsumexp(logits, axis=2)[:, :, None].max(-1)

    return changed


@trap(row, pixelrnn, "row_lstm")
def states_of_the_row_itself(right):
    def changed(layer, *rest):
        hidden = right(layer, *rest)
        window = jnp.pad(hidden, ((0, 0), (0, 0), (1, 1), (0, 0)))
        return hidden + pixelrnn.window_product(window, layer["state"]["kernel"])[..., 0, :]

    return changed


@trap(partial(as_its_paper_says, DiagonalBiLSTM), pixelrnn, "window_product")
def one_state_for_both_neighbours(right):
    return lambda window, kernel: right(jnp.roll(window, -1, 1), kernel)


@trap(partial(as_its_paper_says, RowLSTM), pixelrnn, "initial_state")
@trap(partial(as_its_paper_says, DiagonalBiLSTM), pixelrnn, "initial_state")
def initial_states_that_are_not_learned(right):
    return lambda *args: jax.tree.map(jnp.zeros_like, right(*args))


@trap(partial(as_its_paper_says, PixelCNN), pixelcnn, "before_convolution")
def a_block_without_a_relu(right):
    def changed(*args):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax.nn, "relu", lambda x: x)
            return right(*args)

    return changed


@cache
def assert_holds(law):
    law()


@pytest.mark.parametrize(("law", "module", "name", "mistake"), TRAPS)
def test_traps(monkeypatch, law, module, name, mistake):
    assert_holds(law)
    monkeypatch.setattr(module, name, mistake(getattr(module, name)))
    jax.clear_caches()
    with pytest.raises(AssertionError):
        law()
    jax.clear_caches()
