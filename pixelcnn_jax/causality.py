"""A check that a network is autoregressive."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import logits_of
from pixelcnn_jax.models.conditioning.conditional_model import apply_conditioner
from pixelcnn_jax.models.inputs import Condition, ConditionLike, Images, Map, Variables

ROUNDING = 1e-5  # of logits, both absolute and relative to their size


def check_causal(
    model: nn.Module,
    variables: Variables,
    *,
    shape: tuple[int, int, int],
    h: ConditionLike | None = None,
    s: Map | None = None,
) -> None:
    """Checks that a network is autoregressive: that the logits of a sub-pixel depend only on earlier sub-pixels.

    In ``shape[0]`` random images, each sub-pixel in turn is changed by ``levels // 2``, modulo ``levels``. This costs a
    forward pass for each sub-pixel. No logit of that sub-pixel or of an earlier one may then change by more than 1e-5 +
    1e-5 |logit|. A smaller leak, or one that these images do not show, is not found.

    Args:
      model: A network of this package, a ``ConditionalModel``, or any Linen module that maps images to logits and has
        the fields ``levels`` and ``channels``.
      variables: Its variables, as from ``model.init``, ``fit`` or ``load_pretrained``.
        Kernels that are zero, as some modules initialise them, would hide a leak: give them random values first.
      shape: Number of images, height and width; small images suffice.
      h: As in ``log_prob``.
      s: As in ``log_prob``.

    Returns:
      Nothing.

    Raises:
      InputError: If the logits of a sub-pixel depend on itself or a later one, or are NaN or plus infinity.

    Example:
      >>> import jax
      >>> from pixelcnn_jax import GatedPixelCNN, check_causal
      >>> model = GatedPixelCNN(levels=4, features=8, layers=2)
      >>> variables = model.init(jax.random.key(0), jax.numpy.zeros((1, 6, 6, 1), int))
      >>> check_causal(model, variables, shape=(2, 6, 6))
    """
    images = jax.random.randint(jax.random.key(0), (*shape, model.channels), 0, model.levels, jnp.int32)
    network, weights, condition = apply_conditioner(model, variables, h, s, shape=images.shape)
    leaks, has_nan = map(np.asarray, _leaks(network, weights, images, condition))
    if has_nan:
        raise InputError("model has logits that are NaN or infinite: nothing can be said of what they depend on.")
    if leaks.any():
        source, target = (tuple(map(int, np.unravel_index(x, images.shape[1:]))) for x in np.argwhere(leaks)[0])
        of_target = f"the logits of sub-pixel {target} (row, column, channel)"
        raise InputError(f"model is not causal: {of_target} depend on {source}.")


@jax.jit(static_argnames="model")
def _leaks(
    model: nn.Module, variables: Variables, images: Images, condition: Condition
) -> tuple[Bool[Array, "changed subpixels"], Bool[Array, ""]]:
    size = math.prod(images.shape[1:])

    def logits(changed: Array) -> Array:
        flat = images.reshape(-1, size)
        flat = jnp.where((jnp.arange(size) == changed)[None], (flat + model.levels // 2) % model.levels, flat)
        return logits_of(model, variables, flat.reshape(images.shape), condition).reshape(-1, size, model.levels)

    unchanged = logits(jnp.array(size))

    def differs(changed: Array) -> Array:
        different = ~jnp.isclose(logits(changed), unchanged, rtol=ROUNDING, atol=ROUNDING)
        return jnp.any(different, axis=(0, 2)) & (jnp.arange(size) <= changed)

    return jax.lax.map(differs, jnp.arange(size)), jnp.isnan(jax.nn.log_softmax(unchanged)).any()
