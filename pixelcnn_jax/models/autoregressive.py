"""What the networks of this package share: how they are made and called, how they read an image, and their head.

Between the two lies what tells them apart: ``gated_pixelcnn.py``, and its predecessors ``pixelcnn.py`` and
``pixelrnn.py``.
"""

from functools import partial
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from pixelcnn_jax.distributions import log_probs_of, mixture_log_probs, mixture_logits
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.inputs import Condition, Images, Map, Vector, check_condition, check_images
from pixelcnn_jax.models.layers import add_bias
from pixelcnn_jax.models.parameters import Bias, Kernel, Params, initialise, initialise_stacked

DTYPES = {name: getattr(jnp, name) for name in ("float32", "bfloat16", "float16")}


class Network(nn.Module):
    """A network that gives each sub-pixel of an image a distribution over its levels, knowing all sub-pixels before it.

    ``model.init(key, images, h, s)`` makes the variables, of any images: one pixel, with the s of one, is enough.
    ``model.apply(variables, images, h, s)`` gives the logits. A subclass says which parameters it has and what it does
    with them; the first layer (``strict``) is the one that does not read the current sub-pixel, ``layers`` more follow,
    and the head.

    Attributes:
      levels: values a sub-pixel can take, 2 to 65,536; images hold integers 0 to ``levels - 1``.
      channels: channels of an image; each is predicted from the ones before it in the same pixel.
      features: p, the feature maps of each stack, at least one a channel; of the predecessors h, half of the maps that
        pass from layer to layer.
      layers: layers after the strict one.
      kernel_size: n, odd and at least 3; a Diagonal BiLSTM has no use for it.
      first_kernel_size: n of the strict layer (1601.06759: 7).
      head_features: feature maps between the two 1x1 of the head; ``features`` where it is None.
      dropout: share of the features dropped in training, in each layer.
      code_features: 0 reads a sub-pixel as one intensity in [-1, 1]; more reads it as a code through a learned
        embedding of that many features (VQ-VAE codes, whose order means nothing).
      mixture: 0 gives each level a logit of its own, as the papers of these networks do; more gives the intensity a
        mixture of that many discretised logistics (PixelCNN++, 1701.05517), whose log-probabilities are the logits.
      dtype: what the layers compute in; parameters and logits stay float32. To bfloat16 neighbours among more than 512
        levels look alike, which makes a likelihood worse, not wrong.
      remat: compute each layer again in the backward pass in place of keeping what it needs: less memory, more time.
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
    mixture: int = 0
    dtype: Any = jnp.float32
    remat: bool = False

    def __post_init__(self) -> None:
        check_hyperparameters(self)
        super().__post_init__()

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
        outputs = self.head_outputs(images, h, s, deterministic=deterministic)
        return jnp.zeros((*images.shape, self.levels)) if self.is_initializing() else as_logits(self, outputs)

    def log_probs(
        self,
        images: Images,
        h: Vector | None = None,
        s: Map | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch height width channels"]:
        """The log-probability of every sub-pixel, in nats; of a mixture without computing those of other levels.

        Takes and refuses what ``__call__`` does.
        """
        found = self.head_outputs(images, h, s, deterministic=deterministic)
        return mixture_log_probs(found, images, levels=self.levels) if self.mixture else log_probs_of(found, images)

    @nn.compact
    def head_outputs(
        self, images: Images, h: Vector | None, s: Map | None, *, deterministic: bool
    ) -> Float[Array, "batch height width channels outputs"]:
        """The numbers that the head gives for every sub-pixel: logits, or those of a mixture."""
        condition = Condition(h, s)
        check_images(images, channels=self.channels, levels=self.levels)
        if not self.is_initializing():
            check_condition(dict(self.variables["params"]), condition, images.shape)
        shapes = self.parameter_shapes(condition)
        stacked = partial(initialise_stacked, count=self.layers)
        params = {
            name: flax.core.unfreeze(self.param(name, stacked if name == "layers" else initialise, shape))
            for name, shape in shapes.items()
        }
        if self.is_initializing():
            return jnp.zeros((*images.shape, self.outputs))
        drop = self.make_rng("dropout") if self.dropout and not deterministic else None
        return self.forward(params, encode(self, params, images), condition, dropout_key=drop)

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        """The shape of every parameter; those of h and s are there where h and s are."""
        raise NotImplementedError

    @nn.nowrap
    def forward(
        self,
        params: Params,
        inputs: Float[Array, "batch height width inputs"],
        condition: Condition,
        *,
        dropout_key: Key[Array, ""] | None = None,
    ) -> Float[Array, "batch height width channels outputs"]:
        """The network over whole images, from what ``encode`` made of them to what its head gives."""
        raise NotImplementedError

    @property
    def head_width(self) -> int:
        """Feature maps between the two 1x1 of the head."""
        return self.features if self.head_features is None else self.head_features

    @property
    def outputs(self) -> int:
        """Numbers that the head gives for a sub-pixel."""
        return 3 * self.mixture if self.mixture else self.levels


def as_logits(model: Network, outputs: Float[Array, "*subpixels outputs"]) -> Float[Array, "*subpixels levels"]:
    """What a head gives as logits of the levels; those of a mixture are log-probabilities."""
    return mixture_logits(outputs, levels=model.levels) if model.mixture else outputs


def input_groups(model: Network) -> Int[np.ndarray, " inputs"]:
    """The colour group of each feature that ``encode`` makes; the constant 1 belongs to none and is always known."""
    return np.append(-1, np.repeat(np.arange(model.channels), max(1, model.code_features)))


def encode(model: Network, params: Params, images: Images) -> Float[Array, "batch height width inputs"]:
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


def shared_shapes(model: Network, features: int) -> Params:
    """The shapes of the head, which reads so many ``features``, and for codes of their embedding."""
    width, classes = model.head_width, model.channels * model.outputs
    shapes: Params = {
        "head": {
            "hidden": {"kernel": Kernel((features,), (width,), gain=2.0), "bias": Bias((width,))},
            "logits": {"kernel": Kernel((width,), (classes,)), "bias": Bias((classes,))},
        },
    }
    if model.code_features:
        shapes["embedding"] = {"kernel": Kernel((), (model.channels, model.levels, model.code_features))}
    return shapes


def mask_kernel(kernel: Array, mask: Bool[np.ndarray, "..."]) -> Array:
    """A kernel [..., inputs, (pair,) outputs] that is zero where a mask over its last axes is false."""
    return kernel * np.reshape(mask, (1,) * (kernel.ndim - mask.ndim) + mask.shape).astype(kernel.dtype)


def masked_head(
    head: Params,
    *,
    hidden: Bool[np.ndarray, "features head_features"],
    logits: Bool[np.ndarray, "head_features classes"],
) -> Params:
    """The head, its kernels masked by colour."""
    masks = {"hidden": hidden, "logits": logits}
    return {name: part | {"kernel": mask_kernel(part["kernel"], masks[name])} for name, part in head.items()}


def cast(model: Network, tree: Any) -> Any:
    """Parameters or conditions in the type that the layers compute in; the bias of the logits stays float32."""

    def one(path: tuple[Any, ...], x: Array) -> Array:
        exact = jax.tree_util.keystr(path) == "['head']['logits']['bias']"
        return x if exact else x.astype(model.dtype)

    return jax.tree_util.tree_map_with_path(one, tree)


def head_hidden(
    head: Params, features: Float[Array, "batch height width known"]
) -> Float[Array, "batch height width group"]:
    """ReLU, 1x1, ReLU: the first half of the head."""
    hidden = head["hidden"]
    return jax.nn.relu(add_bias(jnp.tensordot(jax.nn.relu(features), hidden["kernel"], axes=1), hidden["bias"]))


def head_last(
    head: Params, hidden: Float[Array, "batch height width known"]
) -> Float[Array, "batch height width group"]:
    """The last 1x1, to the outputs of the colours asked for, channel by channel; always float32."""
    last = head["logits"]
    return add_bias(jnp.tensordot(hidden, last["kernel"], axes=1, preferred_element_type=jnp.float32), last["bias"])


def whole_head(
    model: Network, head: Params, features: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width channels outputs"]:
    """The masked head over whole images, all colours at once."""
    flat = head_last(head, head_hidden(head, features))
    return flat.reshape(*flat.shape[:3], model.channels, model.outputs)


def check_hyperparameters(model: Network) -> None:
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
    if model.mixture < 0:
        raise InputError(f"mixture must be 0 (a logit for each level) or more components, not {model.mixture}.")
    if model.mixture and model.code_features:
        raise InputError("mixture is of intensities: it has no use for code_features, whose order means nothing.")
