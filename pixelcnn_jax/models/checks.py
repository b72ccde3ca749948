"""Checks and conversions of what a caller gives a model: images, masks, h and s; and the call of any module."""

import inspect
from typing import Any, cast

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Condition, Images, Variables

NOT_FINITE = "The logits are NaN or infinite: the parameters have diverged, or h or s is too large."


def logits_of(model: nn.Module, variables: Variables, images: Images, condition: Condition, **options: Any) -> Array:
    """Computes the logits of any module, whose call may lack h and s.

    Raises:
      InputError: the logits have a wrong shape, or the call changes variables.
    """
    takes = inspect.signature(type(model).__call__).parameters.values()
    if not any(parameter.name == "deterministic" or parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        options.pop("deterministic", None)  # not every network has dropout
    try:
        logits = cast(Array, model.apply(variables, images, **condition.given(), **options))
    except flax.errors.ModifyScopeVariableError as error:
        raise InputError("model must not change variables when called, as BatchNorm does: use LayerNorm.") from error
    shape = (*images.shape, model.levels)
    if logits.shape != shape:
        raise InputError(f"model must return logits of shape {shape}, got {logits.shape}.")
    return logits


def as_images(images: Any, *, channels: int, levels: int, name: str = "images", mask: Any = None) -> Images:
    """Converts images to native integers [batch, height, width, channels].

    Accepts bool, and [batch, height, width > 1] for one channel. Values where ``mask`` is False become 0.

    Raises:
      InputError: wrong shape, or not integers 0 to ``levels - 1``; traced values are not checked.
    """
    x = with_channels(images, channels, name=name)
    x = x.astype(np.uint8) if x.dtype == bool else x
    if mask is not None:
        if x.shape[1:] != mask.shape[1:] or len(x) not in (1, len(mask)):
            raise InputError(f"{name} must have shape {[*mask.shape]}, got {[*x.shape]}.")
        x = (jnp if isinstance(x, jax.Array) or isinstance(mask, jax.core.Tracer) else np).where(mask, x, 0)
    check_values(x, levels, name=name)
    return x


def with_channels(images: Any, channels: int, *, name: str = "images") -> Any:
    """Adds the axis of a single channel if it is missing; raises InputError if the shape is then not that of images."""
    x = as_array(images)
    x = x[..., None] if x.ndim == 3 and channels == 1 and x.shape[-1] != 1 else x  # [28, 28, 1] is one image
    if x.ndim != 4 or x.shape[-1] != channels or 0 in x.shape[1:]:
        raise InputError(f"{name} must have shape [batch, height, width, {channels}], got {[*x.shape]}.")
    return x


def as_mask(mask: Any, shape: tuple[int, ...]) -> Any:
    """Broadcasts a bool mask of four axes to images of ``shape``; raises InputError if it does not fit."""
    mask = as_array(mask)
    fits = mask.ndim == 4 and all(size in (1, full) for size, full in zip(mask.shape, shape, strict=True))
    if not fits or mask.dtype != np.dtype(bool):
        got = f"{mask.dtype} of shape {[*mask.shape]}"
        raise InputError(f"mask must have shape {[*shape]}, where any size may be 1, and be bool, got {got}.")
    return (jnp if isinstance(mask, jax.core.Tracer) else np).broadcast_to(mask, shape)


def as_rows(name: str, values: Any, count: int, dtype: DTypeLike | None = None) -> Any:
    """Converts h or s, one row per image: integers and bool to int32, floats to ``dtype`` (None: JAX's default).

    Raises:
      InputError: wrong number of rows, or not finite or representable; traced values are not checked.
    """
    x = as_array(values)
    if not x.ndim or x.shape[0] != count:
        raise InputError(f"{name} must have a row for each of the {count} images, got shape {[*x.shape]}.")
    dtype = np.dtype(np.int32) if x.dtype.kind in "bui" else jax.dtypes.canonicalize_dtype(dtype or x.dtype)
    if isinstance(x, jax.core.Tracer):
        return x.astype(dtype)
    host = np.asarray(x)
    with np.errstate(over="ignore"):
        stored = host.astype(dtype)
    if not (np.array_equal(stored, host) if stored.dtype.kind in "iu" else np.isfinite(stored).all()):
        raise InputError(f"{name} must be finite and fit into {stored.dtype}, got up to {np.abs(host).max()}.")
    return x.astype(dtype) if isinstance(x, jax.Array) else stored


def as_array(values: Any) -> Any:
    """Converts to native byte order; NumPy stays NumPy, as JAX would truncate int64."""
    if isinstance(values, jax.Array):
        return values
    x = np.asarray(values)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def check_condition(sizes: dict[str, Any], condition: Condition, shape: tuple[int, ...]) -> None:
    """Raises InputError unless h and s have the sizes of the model's, and rows for images of ``shape``."""
    for name, value, leading in (("h", condition.h, shape[:1]), ("s", condition.s, shape[:3])):
        condition_shape = (*leading, sizes[name]) if name in sizes else None
        got = None if value is None else np.shape(value)
        if got != condition_shape:
            hint = f" (for class labels, jax.nn.one_hot(labels, {sizes['h']}))" if name == "h" and name in sizes else ""
            what = f"be given as floats of shape {[*condition_shape]}{hint}" if condition_shape else "be left out"
            kind = "with" if condition_shape else "without"
            description = "none" if value is None else f"{value.dtype} of shape {[*np.shape(value)]}"
            raise InputError(f"{name} must {what}, because the model was initialised {kind} it, got {description}.")


def check_values(values: Array | np.ndarray, levels: int, *, name: str = "images") -> None:
    """Raises InputError unless values are integers from 0 to ``levels - 1``; of traced values, checks the dtype."""
    got = str(values.dtype)
    if values.dtype == bool or jnp.issubdtype(values.dtype, jnp.integer):
        if isinstance(values, jax.core.Tracer) or not values.size:
            return
        with jax.ensure_compile_time_eval():  # a jit may close over concrete values
            least, most = int(values.min()), int(values.max())
        if 0 <= least <= most < levels:
            return
        got = f"{least} to {most}"
    raise InputError(f"{name} must hold integers 0 to {levels - 1}, got {got}.")
