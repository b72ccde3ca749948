"""Known mistakes of public implementations, planted on purpose: each must fail the test that guards against it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import build_model, matches_the_reference
from proofs import assert_causal, assert_complete, assert_normalised, assert_same

from pixelcnn_jax import GatedPixelCNN, sampling
from pixelcnn_jax.models import autoregressive, colours, gated_pixelcnn, layers
from pixelcnn_jax.models.gated_stream import GatedStream

GREY = GatedPixelCNN(levels=2, features=8, layers=2, first_kernel_size=3)
COLOUR = GatedPixelCNN(levels=2, channels=3, features=24, layers=1, first_kernel_size=3)


def causal_and_complete(model):
    built = build_model(model, (4, 4) if model.channels == 1 else (2, 3), scale=0.1)
    assert_causal(*built)
    assert_complete(*built)


def spatial():
    causal_and_complete(GREY)


def colour():
    causal_and_complete(COLOUR)


def figure_2():
    matches_the_reference(*build_model(COLOUR.clone(layers=2), (3, 3), 2, scale=0.1))


def patch_masks(monkeypatch, **changes):
    original = colours.colour_masks

    def changed(model):
        masks = original(model)
        return masks._replace(**{name: change(masks) for name, change in changes.items()})

    monkeypatch.setattr(colours, "colour_masks", changed)


def no_shift(monkeypatch):
    monkeypatch.setattr(gated_pixelcnn, "shift_down", lambda x: x)


def own_row_excluded_in_every_layer(monkeypatch):
    original = layers.rows_above
    monkeypatch.setattr(layers, "rows_above", lambda kernel, x, memory: original(kernel, layers.shift_down(x), memory))


def left_columns_include_the_pixel(monkeypatch):
    original = layers.columns_left
    monkeypatch.setattr(layers, "columns_left", lambda kernel, x: original(kernel, jnp.roll(x, -1, axis=2)))


def mask_a_in_every_layer(monkeypatch):
    patch_masks(monkeypatch, inner=lambda masks: np.tril(masks.inner.T, -8).T)


def mask_b_in_the_first_layer(monkeypatch):
    patch_masks(
        monkeypatch,
        first=lambda masks: (
            np.concatenate([masks.first[:1], np.roll(masks.first, -1, 0)[1:]])
            | (np.arange(4)[:, None] - 1 <= np.arange(24) // 8)
        ),
    )


def mask_a_in_the_head(monkeypatch):
    patch_masks(monkeypatch, logits=lambda masks: masks.logits & (np.arange(24)[:, None] // 8 < np.arange(6) // 2))


def no_mask_in_the_head(monkeypatch):
    patch_masks(monkeypatch, hidden=lambda masks: np.ones_like(masks.hidden))


def no_mask_before_the_residual(monkeypatch):
    patch_masks(monkeypatch, inner=lambda masks: np.ones_like(masks.inner))


def interleaved_colour_groups(monkeypatch):
    monkeypatch.setattr(colours, "colour_groups", lambda features, channels: np.arange(features) % channels)


def crossing_after_the_gate(monkeypatch):
    def vertical_half(layer, x, memory, condition):
        half = layers.vertical_half(layer, x, memory, condition)
        kernel = layer["crossing"]["kernel"]  # its inputs are one axis or two
        kernel = kernel.reshape(-1, *kernel.shape[kernel.ndim // 2 :])
        crossing = jnp.tensordot(jnp.tile(half.out, 2), kernel, axes=1)
        return half._replace(crossing=layers.add_bias(crossing, layer["horizontal"]["bias"]))

    monkeypatch.setattr(gated_pixelcnn, "vertical_half", vertical_half)


def residual_in_the_vertical_stack(monkeypatch):
    def vertical_half(layer, x, memory, condition):
        half = layers.vertical_half(layer, x, memory, condition)
        return half._replace(out=half.out + x) if x.shape == half.out.shape else half

    monkeypatch.setattr(gated_pixelcnn, "vertical_half", vertical_half)


def no_residual(monkeypatch):
    original = layers.horizontal_half
    monkeypatch.setattr(
        gated_pixelcnn, "horizontal_half", lambda *args, residual, **kwargs: original(*args, residual=False, **kwargs)
    )


def zero_border_that_looks_like_grey(monkeypatch):
    original = autoregressive.encode
    monkeypatch.setattr(autoregressive, "encode", lambda *args: original(*args).at[..., 0].set(0.0))


def h_in_one_stack_only(monkeypatch):
    original = layers.condition_terms
    monkeypatch.setattr(
        layers, "condition_terms", lambda layer, stack, c: original(layer, stack, c) if stack == "vertical" else 0.0
    )


def h_in_one_half_of_the_gate(monkeypatch):
    original = layers.condition_terms
    monkeypatch.setattr(layers, "condition_terms", lambda *args: original(*args).at[..., 1, :].set(0.0))


TRAPS = {
    spatial: (no_shift, own_row_excluded_in_every_layer, left_columns_include_the_pixel),
    colour: (
        mask_a_in_every_layer,
        mask_b_in_the_first_layer,
        mask_a_in_the_head,
        no_mask_in_the_head,
        no_mask_before_the_residual,
        interleaved_colour_groups,
    ),
    figure_2: (
        crossing_after_the_gate,
        residual_in_the_vertical_stack,
        no_residual,
        zero_border_that_looks_like_grey,
        h_in_one_stack_only,
        h_in_one_half_of_the_gate,
    ),
}


@pytest.mark.parametrize(("law", "trap"), [(law, trap) for law, traps in TRAPS.items() for trap in traps])
def test_traps(monkeypatch, law, trap):
    law()
    trap(monkeypatch)
    with pytest.raises(AssertionError):
        law()


def test_a_sampler_that_forgets_a_column_fails(monkeypatch):
    model, variables, shape, _ = build_model(GREY.clone(levels=5), (4, 5), scale=0.5)

    class Forgetful(GatedStream):
        def close_pixel(self, params, columns, known, pixel):
            return columns

    monkeypatch.setattr(sampling, "stream_of", Forgetful)
    with pytest.raises(AssertionError):
        assert_same(model, variables, (8, *shape))


def test_a_softmax_over_the_wrong_axis_fails(monkeypatch):
    built = build_model(GREY.clone(levels=3), (2, 2), scale=0.1)
    assert_normalised(*built)

    def softmax_over_columns(logits, images):
        chosen = jnp.take_along_axis(logits, images[..., None], axis=-1)[..., 0]
        return chosen - jax.nn.logsumexp(logits, axis=2)[:, :, None].max(-1)

    jax.clear_caches()
    monkeypatch.setattr(autoregressive, "log_probs_of", softmax_over_columns)
    with pytest.raises(AssertionError):
        assert_normalised(*built)
