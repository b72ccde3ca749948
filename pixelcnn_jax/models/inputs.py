"""The inputs of a model, and the checks that they fit."""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key, Shaped, UInt32

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.parameters import Params

Images = Integer[Array | np.ndarray, "batch height width channels"]
GivenImages = Shaped[Array | np.ndarray, "batch height width *channels"]  # integers or bool
RandomKeys = Key[Array, "..."] | UInt32[Array, "*batch words"]  # typed, or as PRNGKey makes them
Vector = Float[Array | np.ndarray, "batch condition"]
Map = Float[Array | np.ndarray, "batch height width map_features"]
SmallImages = Integer[Array | np.ndarray, "batch small_height small_width small_channels"]
Labels = Integer[Array | np.ndarray, " batch"]
# A set of images for each image of a batch. All values of an example are ABSENT where a set has fewer than others.
Examples = Integer[Array | np.ndarray, "batch examples example_height example_width example_channels"]
ABSENT = -1
Tokens = Integer[Array | np.ndarray, "batch words"]
Given = Vector | Labels | SmallImages | Examples | Tokens  # what may be given as h
Variables = Mapping[str, Any]  # what model.init returns


class ImageSpec(NamedTuple):
    """The format of a data set's images: all that is needed to build a network for them.

    Attributes:
      height, width, channels: shape of an image.
      levels: number of values of a sub-pixel.
      classes: number of class labels; None if images have no label.
      words: the vocabulary of the captions; None if images have no caption.
      class_names: the name of each class, where a folder has them.
    """

    height: int
    width: int
    channels: int
    levels: int
    classes: int | None = None
    words: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels


class Condition(NamedTuple):
    """The inputs of a network besides the image: a vector h (equation 4), a map s (equation 5), both or neither."""

    h: Vector | None = None
    s: Map | None = None

    def kernels(self, sum_: str) -> dict[str, Any]:
        """Returns the parts that are given, by the names of the kernels from them to a sum of a layer."""
        return {f"{sum_}_{name}": value for name, value in self._asdict().items() if value is not None}


def condition_of(kernel: str) -> str | None:
    """Returns which part of a condition the kernel of this name reads, "h" or "s"; None for any other parameter."""
    sum_, _, name = kernel.rpartition("_")
    return name if sum_ and name in Condition._fields else None


def apply(model: nn.Module, variables: Variables, images: Images, condition: Condition, **options: Any) -> Array:
    """Returns the logits [batch, height, width, channels, levels] of any module, whose call may lack h and s.

    Raises:
      InputError: if the module returns something of another shape.
    """
    given = {name: value for name, value in condition._asdict().items() if value is not None}
    takes = inspect.signature(type(model).__call__).parameters.values()
    if not any(one.name == "deterministic" or one.kind is one.VAR_KEYWORD for one in takes):
        options.pop("deterministic", None)  # a network without dropout may take images alone
    logits = cast(Array, model.apply(variables, images, **given, **options))
    wanted = (*images.shape, model.levels)
    if logits.shape != wanted:
        raise InputError(f"model must return logits of shape {wanted}, got {logits.shape}.")
    return logits


def params_of(variables: Variables) -> Params:
    """Returns the parameters inside variables, as a plain dict."""
    return flax.core.unfreeze(variables["params"])


def fingerprint(images: Images) -> UInt32[Array, " batch"]:
    """Returns a hash of each image's pixels, to seed draws that do not depend on the rest of the batch."""
    flat = jnp.asarray(images).reshape(len(images), -1).astype(jnp.uint32)
    weights = np.random.default_rng(0).integers(2**32, size=(1, flat.shape[1]), dtype=np.uint32)
    return jnp.sum(flat * weights, axis=1, dtype=jnp.uint32)  # modulo 2**32


def index_of_different_image(
    images: Images, pool: Integer[Array | np.ndarray, "pool height width channels"]
) -> UInt32[Array, " batch"]:
    """Returns for each image the index of an image in the pool with other pixels, or any index if there is none."""
    mine, theirs = fingerprint(images), fingerprint(pool)
    places = (mine[:, None] + jnp.arange(len(pool), dtype=jnp.uint32)[None]) % len(pool)
    first = jnp.argmax(theirs[places] != mine[:, None], axis=1)
    return jnp.take_along_axis(places, first[:, None], axis=1)[:, 0]


def as_images(images: Any, *, channels: int, levels: int, name: str = "images", mask: Any = None) -> Images:
    """Converts images to integers [batch, height, width, channels] in native byte order.

    Takes bool too, and [batch, height, width] for one channel. Where a mask is given and False, they become 0.

    Raises:
      InputError: for a different shape, and for values that are not integers 0 to levels - 1. Traced values are not
        checked.
    """
    x = as_array(images)
    x = x[..., None] if x.ndim == 3 and channels == 1 else x
    if x.ndim != 4 or x.shape[-1] != channels or 0 in x.shape[1:]:
        raise InputError(f"{name} must have shape [batch, height, width, {channels}], got {[*x.shape]}.")
    x = x.astype(np.uint8) if x.dtype == bool else x
    if mask is not None:
        x = (jnp if isinstance(x, jax.Array) or isinstance(mask, jax.core.Tracer) else np).where(mask, x, 0)
    check_values(x, levels, name=name)
    return x


def as_rows(name: str, values: Any, count: int) -> Any:
    """Converts an h or s, with a row for each image, to the types in which JAX stores it.

    Raises:
      InputError: for a different number of rows, and for values that are not finite or do not fit into those types.
        Traced values are not checked.
    """
    x = as_array(values)
    if not x.ndim or len(x) != count:
        raise InputError(f"{name} must have a row for each of the {count} images, got shape {[*x.shape]}.")
    if isinstance(x, jax.core.Tracer):
        return x
    host = np.asarray(x)
    with np.errstate(over="ignore"):
        stored = host.astype(jax.dtypes.canonicalize_dtype(host.dtype))
    if not (np.array_equal(stored, host) if stored.dtype.kind in "iu" else np.isfinite(stored).all()):
        raise InputError(f"{name} must be finite and fit into {stored.dtype}, got up to {np.abs(host).max()}.")
    return x if isinstance(x, jax.Array) else stored


def as_array(values: Any) -> Any:
    """Converts to an array of native byte order. NumPy's stay in NumPy: JAX would truncate int64 to 32 bits."""
    x = values if isinstance(values, jax.Array) else np.asarray(values)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def condition_sizes(params: Mapping[str, Any]) -> dict[str, int]:
    """Returns the sizes of h and s that parameters were made for, from the kernels of the sums that h and s join."""
    layers = params.get("layers", {}) if isinstance(params.get("layers"), Mapping) else {}
    parts = ((condition_of(name), np.shape(x)) for name, x in layers.items())
    return {part: shape[1] for part, shape in parts if part and len(shape) > 1}


def check_condition(params: Mapping[str, Any], condition: Condition, shape: tuple[int, ...]) -> None:
    """Raises InputError unless h and s are what the parameters were made for, for images of ``shape``."""
    sizes = condition_sizes(params)
    for name, value, leading in (("h", condition.h, shape[:1]), ("s", condition.s, shape[:3])):
        wanted = (*leading, sizes[name]) if name in sizes else None
        got = None if value is None else np.shape(value)
        if got != wanted or (value is not None and not jnp.issubdtype(value.dtype, jnp.floating)):
            what = f"be given as floats of shape {[*wanted]}" if wanted else "be left out"
            given = "none" if value is None else f"{value.dtype} of shape {[*np.shape(value)]}"
            raise InputError(f"{name} must {what}, as the model was initialised, got {given}.")


def check_values(values: Array | np.ndarray, levels: int, *, name: str = "images") -> None:
    """Raises InputError for other than integers 0 to ``levels - 1``. Of traced ones, only the type is checked."""
    got = str(values.dtype)
    if jnp.issubdtype(values.dtype, jnp.integer):
        if isinstance(values, jax.core.Tracer) or not values.size:
            return
        with jax.ensure_compile_time_eval():  # a jit around the caller may close over values that are not traced
            least, most = int(values.min()), int(values.max())
        if 0 <= least <= most < levels:
            return
        got = f"{least} to {most}"
    raise InputError(f"{name} must hold integers 0 to {levels - 1}, got {got}.")
