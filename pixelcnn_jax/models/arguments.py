"""The arguments of the public functions, checked by their names before any work."""

import functools
import inspect
import math
import numbers
import operator
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.conditional import ConditionalModel, ConstantCondition

MAX_PIXELS = 2**28  # of all images drawn together

Function = TypeVar("Function", bound=Callable[..., Any])


def validate_arguments(function: Function) -> Function:
    """Checks each argument of a function by its name, as ``CHECKS`` says; None is taken where it is the default.

    Flax's own errors, which a module raises for variables of a different module, become an ``InputError``.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        for name, value in given.arguments.items():
            if name in CHECKS and (value is not None or signature.parameters[name].default is not None):
                given.arguments[name] = CHECKS[name](name, value)
        try:
            return function(*given.args, **given.kwargs)
        except flax.errors.FlaxError as error:
            reason = str(error).partition(" (http")[0].splitlines()[0].rstrip(".")
            raise InputError(f"variables do not fit the model, or the images do not: {reason}.") from error

    return cast(Function, checked)


def _model(name: str, value: Any) -> nn.Module | ConditionalModel:
    if isinstance(value, ConditionalModel):
        _model(f"{name}.network", value.network)
        if not isinstance(value.conditioner, nn.Module | ConstantCondition):
            raise InputError(f"{name}.conditioner must be a Linen module, got {_kind(value.conditioner)}.")
        _check_hashable(f"{name}.conditioner", value.conditioner)
        return value
    if not isinstance(value, nn.Module):
        raise InputError(f"{name} must be a Linen module or a ConditionalModel, got {_kind(value)}.")
    if value.scope is not None:
        raise InputError(f"{name} must not be bound: pass the module and its variables, as {name}.unbind() gives them.")
    if not all(isinstance(getattr(value, field, None), int) for field in ("levels", "channels")):
        raise InputError(f"{name} must have levels and channels, got {_kind(value)}, which gives no images.")
    _check_hashable(name, value)
    return value


def _check_hashable(name: str, module: Any) -> None:
    """JAX compiles once for equal modules, so it must be able to compare them."""
    try:
        hash(module)
    except TypeError as error:
        raise InputError(f"{name} must have fields that can be hashed, such as tuples, not lists: {error}.") from None


def _variables(name: str, value: Any) -> Mapping[str, Any]:
    try:
        leaves = jax.tree.leaves(value) if isinstance(value, Mapping) else [None]
    except (TypeError, ValueError, RecursionError):  # keys that cannot be sorted
        leaves = [None]
    if not all(isinstance(leaf, jax.Array | np.ndarray | np.generic) for leaf in leaves):
        raise InputError(f'{name} must be what model.init returned, arrays in {{"params": ...}}, got {_kind(value)}.')
    return cast(Mapping[str, Any], value)


def _array(name: str, value: Any) -> Any:
    if not isinstance(value, jax.Array | np.ndarray):
        raise InputError(f"{name} must be an array, got {_kind(value)}: convert it with numpy.asarray.")
    if not (jnp.issubdtype(value.dtype, np.number) or value.dtype == bool):
        raise InputError(f"{name} must be an array of numbers, got {value.dtype}.")
    return value


def _key(name: str, value: Any) -> Any:
    if not isinstance(value, jax.Array) or not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        raise InputError(
            f"{name} must be a new-style key, jax.random.key(seed), got {getattr(value, 'dtype', _kind(value))}."
        )
    return value


def _shape(name: str, value: Any) -> tuple[int, ...]:
    try:
        shape = tuple(operator.index(size) for size in value)
    except TypeError:
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"{name} must be (batch, height, width), each at least 1, got {_written(value)}.")
    if math.prod(shape) > MAX_PIXELS:
        raise InputError(f"{name} must have at most {MAX_PIXELS:,} pixels, got {shape}: draw the images in parts.")
    return shape


def _whole(least: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, got {_written(value)}.")
        return int(value)

    return check


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not value < 1e30 or value <= -1e30:
        raise InputError(f"{name} must be a finite number, got {_written(value)}.")
    return float(value)


def _bytes(name: str, value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InputError(f"{name} must be bytes, got {_kind(value)}.")
    return bytes(value)


def _path(name: str, value: Any) -> str | os.PathLike[str]:
    if not isinstance(value, str | os.PathLike) or "\0" in str(value):
        raise InputError(f"{name} must be a name or a path, got {_kind(value)}.")
    return value


def _function(name: str, value: Any) -> Any:
    if not callable(value):
        raise InputError(f"{name} must be a function, got {_kind(value)}.")
    return value


def _written(value: Any) -> str:
    return f"{value!r:.50}" if isinstance(value, int | float | str | tuple | list) else _kind(value)


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "model": _model,
    "variables": _variables,
    "key": _key,
    "shape": _shape,
    **dict.fromkeys(("images", "h", "s", "given", "mask"), _array),
    **dict.fromkeys(("data", "extra"), _bytes),
    **dict.fromkeys(("batch_size", "microbatch_size", "steps", "eval_every", "max_subpixels"), _whole(1)),
    "group": _whole(0),
    **dict.fromkeys(("temperature", "guidance"), _number),
    "on_row": _function,
    **dict.fromkeys(("name", "folder"), _path),
}
