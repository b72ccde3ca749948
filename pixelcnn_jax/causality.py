"""A check that a network is autoregressive."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.conditional import apply_conditioner
from pixelcnn_jax.models.inputs import Condition, ConditionLike, Images, Map, Variables, apply

ROUNDING = 1e-5  # of logits, both absolute and relative to their size


def check_causal(
    model: nn.Module,
    variables: Variables,
    *,
    shape: tuple[int, int, int],
    h: ConditionLike | None = None,
    s: Map | None = None,
) -> None:
    """Checks that logits depend only on earlier sub-pixels, with random images.

    Each sub-pixel in turn is moved by half of the levels, at the cost of a forward pass. No logit at or before it may
    then change by more than 1e-5 + 1e-5 |logit|. A leak that is smaller, or that these images hide, is missed.

    Args:
      model: any module from images to logits.
      variables: its variables. Kernels of zeros would hide a leak.
      shape: batch, height and width of the images; small ones suffice.
      h: vectors [batch, condition], or class labels [batch]; default None.
      s: maps [batch, height, width, map_features]; default None.

    Raises:
      InputError: the logits are not causal, or give NaN.
    """
    images = jax.random.randint(jax.random.key(0), (*shape, model.channels), 0, model.levels, jnp.int32)
    network, weights, condition = apply_conditioner(model, variables, h, s, shape=images.shape)
    leaks, has_nan = map(np.asarray, _leaks(network, weights, images, condition))
    if has_nan:
        raise InputError("model has logits that are NaN or infinite: nothing can be said of what they depend on.")
    if leaks.any():
        source, target = np.argwhere(leaks)[0]
        names = [tuple(map(int, np.unravel_index(index, images.shape[1:]))) for index in (target, source)]
        raise InputError(
            f"model is not causal: the logits of sub-pixel {names[0]} (row, column, channel) depend on {names[1]}."
        )


@partial(jax.jit, static_argnames="model")
def _leaks(
    model: nn.Module, variables: Variables, images: Images, condition: Condition
) -> tuple[Bool[Array, "changed subpixels"], Bool[Array, ""]]:
    size = math.prod(images.shape[1:])

    def logits(changed: Array) -> Array:
        flat = images.reshape(-1, size)
        flat = jnp.where((jnp.arange(size) == changed)[None], (flat + model.levels // 2) % model.levels, flat)
        return apply(model, variables, flat.reshape(images.shape), condition).reshape(-1, size, model.levels)

    unchanged = logits(jnp.array(size))

    def differs(changed: Array) -> Array:
        different = ~jnp.isclose(logits(changed), unchanged, rtol=ROUNDING, atol=ROUNDING)
        return jnp.any(different, axis=(0, 2)) & (jnp.arange(size) <= changed)

    return jax.lax.map(differs, jnp.arange(size)), jnp.isnan(jax.nn.log_softmax(unchanged)).any()
