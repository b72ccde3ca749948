"""Post-training quantisation of a Gated PixelCNN to its integer model."""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pixelcnn_jax.codec.bounds import check_bounds
from pixelcnn_jax.codec.frequencies import MAX_LEVELS, SYMBOL_BITS
from pixelcnn_jax.codec.integer import IntegerPixelCNN, check_one_hot
from pixelcnn_jax.codec.integer_stream import CONDITION_KERNELS
from pixelcnn_jax.codec.rounding import Statistics, quantise_params
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.models.autoregressive import encode, head_hidden
from pixelcnn_jax.models.checks import as_images
from pixelcnn_jax.models.colours import mask_params
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, ConstantCondition, apply_conditioner
from pixelcnn_jax.models.declarations import condition_sizes
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.inputs import Condition, ConditionLike, Images, ImagesLike, Map, Variables, params_of
from pixelcnn_jax.models.layers import horizontal_rows, shift_down, vertical_layer, zero_rows
from pixelcnn_jax.models.parameters import Params, layers_of

BATCH = 50  # calibration batch size


def quantise(
    model: GatedPixelCNN | ConditionalModel,
    variables: Variables,
    images: ImagesLike,
    *,
    h: ConditionLike | None = None,
    s: Map | None = None,
) -> tuple[IntegerPixelCNN, dict[str, Any]]:
    """Rounds a trained network to integers, for ``compress`` and ``decompress``.

    They need an integer model, because it computes the same probabilities on every machine and in every batch size. Its
    likelihood is worse by less than 0.001 bits/dim for the published models, and by 0.006 for a small model of
    simulated images of 16 bits. A softmax of L levels loses up to -log2(1 - L / 65,536) bits/dim in addition, which is
    0.02 for 1,024 levels and 0.09 for 4,096.

    Args:
      model: A ``GatedPixelCNN`` without attention, or a ``ConditionalModel`` of such a network and a
        ``ConstantCondition``, whose effect is added to the biases. A network without a mixture may have at most 4,096
        levels.
      variables: Its variables.
      images: A few hundred images like those to be compressed, of shape [count, height, width, channels]; they
        determine the ranges of the integers.
      h: Their class labels [count], or one-hot vectors [count, classes]; None for a model without a condition.
      s: Their maps [count, height, width, map_features]; None for a model without maps. The integer model clips the
        values of a map to plus or minus 1.5 times the largest magnitude given here. In this range, it rounds each to
        one of 500 to 1,000 values. Maps of integers stay exact if no magnitude given here exceeds 341. If the model has
        more than 4,096 levels, there are 8,000 to 16,000 values, and integers stay exact up to 5,461.

    Returns:
      The integer model and its variables. Keep both, because files can be decompressed only with them.

    Raises:
      InputError: If the model has no integer form, or a sum of products in it could exceed 2**24.

    Example:
      >>> from sklearn.datasets import load_digits
      >>> from pixelcnn_jax import load_pretrained, quantise
      >>> model, variables, _ = load_pretrained("digits")
      >>> images = load_digits().images[..., None].astype(int)
      >>> integer_model, integer_variables = quantise(model, variables, images[:200])
      >>> type(integer_model).__name__
      'IntegerPixelCNN'
    """
    folds = type(getattr(model, "network", None)) is GatedPixelCNN
    if folds and isinstance(model, ConditionalModel) and isinstance(model.conditioner, ConstantCondition):
        model, variables = _with_constant_h(model, variables)
    most = MAX_LEVELS if getattr(model, "mixture", 0) else 1 << SYMBOL_BITS
    if type(model) is not GatedPixelCNN or model.attention or model.levels > most:
        raise InputError(
            f"model must be a GatedPixelCNN without attention, with at most {1 << SYMBOL_BITS} levels, or {MAX_LEVELS} "
            "with a mixture: other networks have no integer form."
        )
    images = as_images(images, channels=model.channels, levels=model.levels)
    model = model.clone(dropout=0.0, dtype="float32", remat=False)
    _, variables, condition = apply_conditioner(model, variables, h, s, shape=images.shape)
    check_one_hot(condition.h)
    params = params_of(variables)
    fields = {x.name: getattr(model, x.name) for x in dataclasses.fields(model) if x.name not in ("parent", "name")}
    integer_model = IntegerPixelCNN(**fields)
    seen: Params = {}
    size = max(1, min(BATCH, 2**20 // math.prod(images.shape[1:3])))
    for start in progress_bar(range(0, len(images), size), "quantising"):
        part, h_and_s = jax.tree.map(lambda x, start=start: x[start : start + size], (images, condition))
        new = jax.tree.map(lambda x: np.asarray(x, np.float64), _statistics(model, params, part, h_and_s))
        merge = partial(Statistics.merge, share=len(part) / (start + len(part)))
        seen = jax.tree.map(merge, seen, new, is_leaf=lambda x: isinstance(x, Statistics)) if seen else new
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), mask_params(model, params))
    if not seen or not all(np.isfinite(x).all() for x in jax.tree.leaves((exact, seen))):
        raise InputError("variables must be finite: the model has NaN or infinity on these images, or there are none.")
    net = quantise_params(model, exact, seen)
    net = jax.tree.map(lambda x: jnp.asarray(x, jnp.int16 if np.abs(x).max() < 2**15 else jnp.int32), net)
    check_bounds(integer_model, quantised := {"params": net})
    return integer_model, quantised


def _with_constant_h(model: ConditionalModel, variables: Variables) -> tuple[GatedPixelCNN, Variables]:
    """Adds V h of a constant h to the biases."""
    params = params_of(variables)["network"]
    model.conditioner.check(condition_sizes(model.network, params).get("h"))

    def folded(layer: Params) -> Params:
        parts = {name: x for name, x in layer.items() if name not in CONDITION_KERNELS}
        terms = {name: layer[f"{name}_h"][..., model.conditioner.index, :, :] for name in ("vertical", "horizontal")}
        # The crossing is taken before V h is added.
        terms["horizontal"] -= jnp.einsum("...gp,...gphq->...hq", terms["vertical"], layer["crossing"]["kernel"])
        return parts | {name: parts[name] | {"bias": parts[name]["bias"] + x} for name, x in terms.items()}

    return model.network, {"params": params | {name: folded(params[name]) for name in ("first", "layers")}}


@jax.jit(static_argnums=0)
def _statistics(model: GatedPixelCNN, params: Params, images: Images, condition: Condition) -> Params:
    """Collects, for each channel, statistics of the values that will be rounded."""
    net = mask_params(model, params)
    x = encode(model, net, images)
    vertical = shift_down(x)
    layers: list[Params] = []
    for layer in layers_of(net, model.layers):
        above = vertical_layer(layer, vertical, zero_rows(layer, vertical), condition)
        out, gated = horizontal_rows(layer, x, above.crossing, residual=bool(layers))
        layers.append(dict(above=vertical, own_row=x, crossing=above.pre_activation, gated=gated, residual=out))
        vertical, x = above.out, out
    hidden, s = head_hidden(net["head"], x), condition.s
    result = {"layers": layers, "input": jax.nn.relu(x), "hidden": hidden, "condition": s}

    def seen(x: Array) -> Statistics:
        axes = (0, 1, 2)
        mean = jnp.mean(x, axis=axes, keepdims=True)
        centred = (x - mean).reshape(-1, mean.size)
        return Statistics(jnp.max(jnp.abs(x), axis=axes), mean[0, 0, 0], centred.T @ centred / len(centred))

    return jax.tree.map(seen, result)
