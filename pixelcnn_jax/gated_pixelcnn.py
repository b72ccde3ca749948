"""Gated PixelCNN (1606.05328, sections 2.2 to 2.4).

Read from top to bottom: the module and its parameters, then the network over a whole image. ``incremental.py`` advances
the same layers by a row, a pixel, a colour.
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from pixelcnn_jax.errors import InputError
from pixelcnn_jax.inputs import Condition, Images, Map, Vector, check_condition, check_images
from pixelcnn_jax.layers import (
    Context,
    Dropout,
    add_bias,
    colour_groups,
    colour_mask,
    columns_left,
    dropout,
    horizontal_half,
    shift_down,
    vertical_half,
)
from pixelcnn_jax.parameters import Bias, Kernel, Params, initialise, initialise_stacked

DTYPES = {name: getattr(jnp, name) for name in ("float32", "bfloat16", "float16")}


class GatedPixelCNN(nn.Module):
    """The conditional PixelCNN of 1606.05328, with a softmax over the levels of each sub-pixel.

    ``model.init(key, images, h, s)`` makes the variables, ``model.apply(variables, images, h, s)`` gives the logits.
    The parameters are one strict layer (``strict``, not counted in ``layers``), ``layers`` gated layers stacked along
    their first axis (``layers``), the two 1x1 of the head (``head``) and, for codes, their ``embedding``.

    Attributes:
      levels: values a sub-pixel can take, 2 to 65,536; images hold integers 0 to ``levels - 1``.
      channels: channels of an image; each is predicted from the ones before it in the same pixel.
      features: p, the feature maps of each stack; at least one a channel.
      layers: gated layers after the strict one.
      kernel_size: n, odd and at least 3.
      first_kernel_size: n of the strict layer (1601.06759: 7).
      head_features: feature maps between the two 1x1 of the head; ``features`` where it is None.
      dropout: share of the gated features dropped in training, in both stacks.
      code_features: 0 reads a sub-pixel as one intensity in [-1, 1]; more reads it as a code through a learned
        embedding of that many features (VQ-VAE codes, whose order means nothing).
      dtype: what the layers compute in; parameters and logits stay float32.
    """

    levels: int = 256
    channels: int = 1
    features: int = 64
    layers: int = 7
    kernel_size: int = 3
    first_kernel_size: int = 7
    head_features: int | None = None
    dropout: float = 0.0
    code_features: int = 0
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        check_hyperparameters(self)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        images: Images,
        h: Vector | None = None,
        s: Map | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch height width channels levels"]:
        """The logits of every sub-pixel given all before it in raster order, colour within pixel, and h and s.

        Unless ``deterministic``, dropout draws from the "dropout" stream. Raises InputError for images of another
        number of channels and for an h or s of the wrong shape, missing, or given to a model made without.
        """
        condition = Condition(h, s)
        check_images(images, channels=self.channels, levels=self.levels)
        if not self.is_initializing():
            check_condition(dict(self.variables["params"]), condition, images.shape)
        shapes = parameter_shapes(self, condition)
        stacked = partial(initialise_stacked, count=self.layers)
        params = {
            name: self.param(name, stacked if name == "layers" else initialise, shape) for name, shape in shapes.items()
        }
        if self.is_initializing():
            return jnp.zeros((*images.shape, self.levels))
        drop = self.make_rng("dropout") if self.dropout and not deterministic else None
        return logits(self, params, encode(self, params, images), condition, dropout_key=drop)

    @property
    def head_width(self) -> int:
        """Feature maps between the two 1x1 of the head."""
        return self.features if self.head_features is None else self.head_features


def parameter_shapes(model: GatedPixelCNN, condition: Condition) -> Params:
    """The shape of every parameter; V h and V s are there where h and s are."""
    features, intensities = model.features, max(1, model.code_features)
    inputs = 1 + model.channels * intensities

    def layer(inputs: int, rows: int, columns: int) -> Params:
        pair = (2, features)
        shapes: Params = {
            "vertical": {"kernel": Kernel((rows, columns, inputs), pair, gain=4.0), "bias": Bias(pair)},
            "crossing": {"kernel": Kernel(pair, pair)},
            "horizontal": {"kernel": Kernel((columns // 2 + 1, inputs), pair, gain=4.0), "bias": Bias(pair)},
            "out": {"kernel": Kernel((features,), (features,)), "bias": Bias((features,))},
        }
        for name, given in condition._asdict().items():
            if given is not None:
                shapes |= {f"{stack}_{name}": Kernel((given.shape[-1],), pair) for stack in ("vertical", "horizontal")}
        return shapes

    n, first = model.kernel_size, model.first_kernel_size
    classes = model.channels * model.levels
    shapes = {
        "strict": layer(inputs, first // 2, first),
        "layers": layer(features, n // 2 + 1, n),
        "head": {
            "hidden": {"kernel": Kernel((features,), (model.head_width,), gain=2.0), "bias": Bias((model.head_width,))},
            "logits": {"kernel": Kernel((model.head_width,), (classes,)), "bias": Bias((classes,))},
        },
    }
    if model.code_features:
        shapes["embedding"] = {"kernel": Kernel((), (model.channels, model.levels, model.code_features))}
    return shapes


def encode(model: GatedPixelCNN, params: Params, images: Images) -> Float[Array, "batch height width inputs"]:
    """What the strict layer reads: a constant 1, by which it tells the image from the zeros beyond its border, then
    each channel's intensity in [-1, 1] or the embedding of its code.
    """
    if model.code_features:
        table = params["embedding"]["kernel"].astype(model.dtype)
        values = table[jnp.arange(model.channels), images]
        values = values.reshape(*images.shape[:3], -1)
    else:
        # In float32 first: bfloat16 would round 2 / 255 and make the two brightest levels one.
        values = (images.astype(jnp.float32) * (2 / (model.levels - 1)) - 1).astype(model.dtype)
    return jnp.concatenate([jnp.ones_like(values[..., :1]), values], axis=-1)


class ColourMasks(NamedTuple):
    """What each kernel that touches the current pixel may read of it."""

    strict: Bool[np.ndarray, "inputs features"]
    layers: Bool[np.ndarray, "features features"]
    hidden: Bool[np.ndarray, "features head_features"]
    logits: Bool[np.ndarray, "head_features classes"]


def colour_masks(model: GatedPixelCNN) -> ColourMasks:
    """Mask A for the strict layer, mask B for all others; the constant 1 belongs to no group and is always known."""
    channels = model.channels
    pixel = np.append(-1, np.repeat(np.arange(channels), max(1, model.code_features)))
    features, hidden = colour_groups(model.features, channels), colour_groups(model.head_width, channels)
    return ColourMasks(
        strict=colour_mask(pixel, features, strict=True),
        layers=colour_mask(features, features),
        hidden=colour_mask(features, hidden),
        logits=colour_mask(hidden, colour_groups(channels * model.levels, channels)),
    )


def masked(model: GatedPixelCNN, params: Params) -> Params:
    """The parameters as the layers read them: cast, the kernels that touch the current pixel masked by colour.

    The last column of a horizontal kernel is the current pixel; it becomes ``pixel``, the columns before it ``left``.
    """
    params, masks = cast(model, params), colour_masks(model)

    def layer(layer: Params, pixel_mask: Bool[np.ndarray, "inputs features"]) -> Params:
        kernel = layer["horizontal"]["kernel"]  # [..., columns, inputs, pair, features], stacked or not
        return layer | {
            "horizontal": {
                "left": kernel[..., :-1, :, :, :],
                "pixel": _mask(kernel[..., -1, :, :, :], pixel_mask[:, None]),
                "bias": layer["horizontal"]["bias"],
            },
            "out": layer["out"] | {"kernel": _mask(layer["out"]["kernel"], masks.layers)},
        }

    head = {
        name: part | {"kernel": _mask(part["kernel"], getattr(masks, name))} for name, part in params["head"].items()
    }
    return params | {
        "strict": layer(params["strict"], masks.strict),
        "layers": layer(params["layers"], masks.layers),
        "head": head,
    }


def _mask(kernel: Array, mask: Bool[np.ndarray, "..."]) -> Array:
    return kernel * np.reshape(mask, (1,) * (kernel.ndim - mask.ndim) + mask.shape).astype(kernel.dtype)


class Stacks(NamedTuple):
    """The vertical and the horizontal feature maps of Figure 2."""

    vertical: Float[Array, "batch height width vertical_features"]
    horizontal: Float[Array, "batch height width horizontal_features"]


def logits(
    model: GatedPixelCNN,
    params: Params,
    inputs: Float[Array, "batch height width inputs"],
    condition: Condition,
    *,
    dropout_key: Key[Array, ""] | None = None,
) -> Float[Array, "batch height width channels levels"]:
    """The network over whole images, from what ``encode`` made of them; every memory is the zero border."""
    params, condition = masked(model, params), cast(model, condition)

    def gated_layer(stacks: Stacks, layer: Params, key: Array | None, *, strict: bool = False) -> Stacks:
        drop, drop_vertical = dropouts(key, model.dropout)
        above = vertical_half(layer, stacks.vertical, rows_border(layer, stacks.vertical), condition)
        left = jnp.concatenate([columns_border(layer, stacks.horizontal), stacks.horizontal], axis=2)[:, :, :-1]
        before = above.crossing + columns_left(layer["horizontal"]["left"], left)
        context = Context(gate=before, out=layer["out"]["bias"][None, None, None])
        out, _ = horizontal_half(layer, stacks.horizontal, context, residual=not strict, drop=drop)
        return Stacks(drop_vertical(above.out), out)

    keys = None if dropout_key is None else jax.random.split(dropout_key, model.layers + 1)
    first, rest = (None, None) if keys is None else (keys[0], keys[1:])
    stacks = gated_layer(Stacks(shift_down(inputs), inputs), params["strict"], first, strict=True)
    layers = (params["layers"], rest)
    # Unrolled: kept apart, what the backward pass needs of each layer is neither copied into a stack nor out of it.
    stacks, _ = jax.lax.scan(lambda stacks, layer: (gated_layer(stacks, *layer), None), stacks, layers, unroll=True)

    flat = head_logits(params["head"], head_hidden(params["head"], stacks.horizontal))
    return flat.reshape(*flat.shape[:3], model.channels, model.levels)


def cast(model: GatedPixelCNN, tree: Any) -> Any:
    """Parameters or conditions in the type that the layers compute in; the bias of the logits stays float32."""

    def one(path: tuple[Any, ...], x: Array) -> Array:
        exact = jax.tree_util.keystr(path) == "['head']['logits']['bias']"
        return x if exact else x.astype(model.dtype)

    return jax.tree_util.tree_map_with_path(one, tree)


def rows_border(layer: Params, x: Float[Array, "batch rows width features"]) -> Float[Array, "..."]:
    """The zeros that lie above the first row of an image, as many rows as the layer reads."""
    batch, _, width, features = x.shape
    return jnp.zeros((batch, layer["vertical"]["kernel"].shape[0] - 1, width, features), x.dtype)


def columns_border(layer: Params, x: Float[Array, "batch height columns features"]) -> Float[Array, "..."]:
    """The zeros that lie left of the first column of an image, as many columns as the layer reads."""
    batch, height, _, features = x.shape
    return jnp.zeros((batch, height, layer["horizontal"]["left"].shape[0], features), x.dtype)


def dropouts(key: Key[Array, ""] | None, rate: float) -> tuple[Dropout, Dropout]:
    """Dropout for the two stacks of a layer; none without a key."""
    if key is None:
        return (lambda x: x), (lambda x: x)
    horizontal, vertical = jax.random.split(key)
    return partial(dropout, horizontal, rate), partial(dropout, vertical, rate)


def head_hidden(
    head: Params, features: Float[Array, "batch height width known"]
) -> Float[Array, "batch height width group"]:
    """ReLU, 1x1, ReLU: the first half of the head."""
    hidden = head["hidden"]
    return jax.nn.relu(add_bias(jnp.tensordot(jax.nn.relu(features), hidden["kernel"], axes=1), hidden["bias"]))


def head_logits(
    head: Params, hidden: Float[Array, "batch height width known"]
) -> Float[Array, "batch height width group"]:
    """The last 1x1, to the levels of the colours asked for, channel by channel; always float32."""
    last = head["logits"]
    return add_bias(jnp.tensordot(hidden, last["kernel"], axes=1, preferred_element_type=jnp.float32), last["bias"])


def check_hyperparameters(model: GatedPixelCNN) -> None:
    """Raises InputError for a network that cannot be built."""
    for name in ("kernel_size", "first_kernel_size"):
        if getattr(model, name) < 3 or getattr(model, name) % 2 == 0:
            raise InputError(f"{name} must be odd and at least 3, not {getattr(model, name)}.")
    if not 2 <= model.levels <= 65536:
        raise InputError(f"levels must be between 2 and 65536, not {model.levels}.")
    if model.channels < 1 or model.layers < 1:
        raise InputError(f"channels and layers must be at least 1, not {model.channels} and {model.layers}.")
    if min(model.features, model.head_width) < model.channels:
        raise InputError(f"features and head_features must be at least one a channel, that is {model.channels}.")
    if not 0 <= model.dropout <= 0.99:
        raise InputError(f"dropout must be between 0 and 0.99, not {model.dropout}.")
    if model.dtype not in (*DTYPES, *DTYPES.values()):
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, not {model.dtype}.")
    if model.code_features < 0:
        raise InputError(f"code_features must be 0 (intensities) or more, not {model.code_features}.")
