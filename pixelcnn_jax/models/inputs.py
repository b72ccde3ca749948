"""What a model is given, and the sentences for what it cannot take."""

from typing import Any, NamedTuple, cast

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, UInt32

from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.parameters import Params

Images = Integer[Array | np.ndarray, "batch height width channels"]
Vector = Float[Array | np.ndarray, "batch condition"]
Map = Float[Array | np.ndarray, "batch height width map_features"]


class Condition(NamedTuple):
    """What a model is told besides the image: a vector h (equation 4), a map s (equation 5), both or neither."""

    h: Vector | None = None
    s: Map | None = None


def apply(model: nn.Module, variables: Params, images: Images, condition: Condition, **options: Any) -> Array:
    """The logits [batch, height, width, channels, levels] of any module; it is handed the conditions that there are."""
    given = {name: value for name, value in condition._asdict().items() if value is not None}
    return cast(Array, model.apply(variables, images, **given, **options))


def params_of(variables: Params) -> Params:
    """The parameters among the variables, as a plain dict; InputError where there are none."""
    if "params" not in variables:
        raise InputError('variables must be what model.init returned: {"params": ...}.')
    return flax.core.unfreeze(variables["params"])


def fingerprint(images: Images) -> UInt32[Array, " batch"]:
    """A number for each image that depends on its pixels alone: to draw for an image what no batch has a part in."""
    flat = jnp.asarray(images).reshape(len(images), -1).astype(jnp.uint32)
    weights = np.random.default_rng(0).integers(2**32, size=(1, flat.shape[1]), dtype=np.uint32)
    return jnp.sum(flat * weights, axis=1, dtype=jnp.uint32)  # modulo 2**32


def another(images: Images, pool: Integer[Array | np.ndarray, "pool height width channels"]) -> UInt32[Array, " batch"]:
    """For each image the place in a pool of one that is not the same, by its pixels; any where there is no other."""
    mine, theirs = fingerprint(images), fingerprint(pool)
    places = (mine[:, None] + jnp.arange(len(pool), dtype=jnp.uint32)[None]) % len(pool)
    first = jnp.argmax(theirs[places] != mine[:, None], axis=1)
    return jnp.take_along_axis(places, first[:, None], axis=1)[:, 0]


def check_images(images: Array | np.ndarray, *, channels: int, levels: int) -> None:
    """Raises InputError for images the model cannot read."""
    if images.ndim != 4 or images.shape[-1] != channels:
        raise InputError(f"images must be [batch, height, width, {channels}] for this model, not {list(images.shape)}.")
    if not jnp.issubdtype(images.dtype, jnp.integer):
        raise InputError(f"images must hold integers 0 to {levels - 1}, not {images.dtype}.")


def check_condition(params: Params, condition: Condition, shape: tuple[int, ...]) -> None:
    """Raises InputError unless h and s are what the parameters were made for, for images of ``shape``."""
    for name, value, leading in (("h", condition.h, shape[:1]), ("s", condition.s, shape[:3])):
        # The layers are stacked: [layer, condition, ...]. Each model has such a kernel for every sum that h or s joins.
        kernel = next((kernel for part, kernel in params["layers"].items() if part.endswith(f"_{name}")), None)
        if kernel is None and value is not None:
            raise InputError(f"{name} was given to a model that was initialised without one; leave it out.")
        if kernel is not None:
            wanted = [*leading, kernel.shape[1]]
            if value is None:
                raise InputError(f"this model is conditional: it needs {name} of shape {wanted}.")
            if list(value.shape) != wanted:
                raise InputError(f"{name} must have shape {wanted}, not {list(value.shape)}.")
            if not jnp.issubdtype(value.dtype, jnp.floating):
                raise InputError(f"{name} must be floating point, not {value.dtype}; a class goes in as one-hot.")


def check_finite(condition: Condition) -> None:
    """Raises InputError for an h or s with a number that is none; inside a jitted function nothing can be known."""
    for name, value in condition._asdict().items():
        if value is not None and not isinstance(value, jax.core.Tracer) and not np.isfinite(np.asarray(value)).all():
            raise InputError(f"{name} must be finite, but holds NaN or infinity.")


def check_values(values: Array | np.ndarray, levels: int) -> None:
    """Raises InputError for integers outside 0 to ``levels - 1``; inside a jitted function nothing can be known."""
    if isinstance(values, jax.core.Tracer) or not values.size:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= levels:
        raise InputError(f"images must hold integers 0 to {levels - 1}, but values from {low} to {high} were given.")
