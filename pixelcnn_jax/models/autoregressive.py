"""The common part of all networks: hyperparameters, the call, how an image is read, and the head.

The layers between input and head tell the networks apart: ``gated_pixelcnn.py``, and its predecessors ``pixelcnn.py``
and ``pixelrnn.py``.
"""

from functools import partial
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float, Key

from pixelcnn_jax.distributions import accumulation_dtype, intensities, log_probs_of, mixture_log_probs, mixture_logits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import (
    Condition,
    GivenImages,
    Images,
    Map,
    Variables,
    Vector,
    as_images,
    check_condition,
)
from pixelcnn_jax.models.layers import add_bias, one_by_one
from pixelcnn_jax.models.parameters import Kernel, Params, affine, initialise, initialise_stacked
from pixelcnn_jax.models.products import product

DTYPES = ("float32", "bfloat16", "float16", "float64")


@nn.nowrap
def init_parameters(model: nn.Module, rngs: Any, *inputs: Any, **options: Any) -> Any:
    """Draws the variables by ``parameters``, without the logits that Flax would compute and drop."""
    return nn.Module.init(model, rngs, *inputs, **{"method": "parameters", **options})


class Network(nn.Module):
    """A network that gives each sub-pixel a distribution over its levels, given all sub-pixels before it.

    ``model.init(key, images, h, s)`` returns the variables; images of one pixel are enough. ``model.apply(variables,
    images, h, s)`` returns the logits. The first layer (``first``) does not read the current sub-pixel; ``layers``
    more layers and the head follow. A subclass defines ``parameter_shapes`` and ``forward``.

    Attributes:
      levels: number of values of a sub-pixel, 2 to 65,536; images hold integers 0 to ``levels - 1``.
      channels: channels of an image; each is predicted from the earlier ones of the same pixel.
      features: p, the feature maps of each stack, at least one per channel. For the predecessors: h, half of the maps
        that pass from layer to layer.
      layers: number of layers after the first one.
      kernel_size: n, odd and at least 3. A Diagonal BiLSTM does not use it.
      first_kernel_size: n of the first layer (7 in 1601.06759).
      head_features: feature maps between the two 1x1 of the head; None for ``features``.
      dropout: fraction of the features dropped in training, in each layer, rounded to 1/256 but not to 0.
      code_features: 0 reads a sub-pixel as an intensity in [-1, 1]. A positive number reads it as a code through a
        learned embedding of that size (VQ-VAE codes, whose order means nothing).
      mixture: 0 gives each level its own logit, as in the papers of these networks. A positive number gives the
        intensity a mixture of that many discretised logistics (PixelCNN++, 1701.05517).
      point_masses: adds to a mixture a point mass at the lowest and one at the highest level, for images with many
        black or white pixels, which logistics learn slowly.
      dtype: type of the operands of all products; parameters and logits stay float32. Features have this type too,
        except in ``apply`` on a CPU, where they stay float32. With more than 512 levels, bfloat16 cannot tell
        neighbouring levels apart, which makes the likelihood worse but not wrong. With float64, for which JAX must
        have ``jax_enable_x64``, logits and likelihoods are float64 too.
      remat: recompute each layer in the backward pass instead of storing what it needs: less memory, more time.
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
    point_masses: bool = False
    dtype: Any = jnp.float32
    remat: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", jnp.dtype(self.dtype))  # equal models compare equal, however it is written
        check_hyperparameters(self)
        super().__post_init__()

    init = init_parameters

    def __call__(
        self, images: GivenImages, h: Vector | None = None, s: Map | None = None, *, deterministic: bool = True
    ) -> Float[Array, "batch height width channels levels"]:
        """Returns the logits of every sub-pixel given all before it in raster order, colour within pixel, and h and s.

        Unless ``deterministic``, dropout draws from the "dropout" stream.

        Raises:
          InputError: for images of the wrong shape or type, and for an h or s of the wrong shape, missing, or given to
            a model initialised without.
        """
        return as_logits(self, self.head_outputs(images, Condition(h, s), deterministic=deterministic))

    def log_probs(
        self, images: Images, condition: Condition, *, deterministic: bool = True
    ) -> Float[Array, "batch height width channels"]:
        """Returns the log-probability of every sub-pixel in nats. For a mixture, other levels are not computed."""
        outputs = self.head_outputs(images, condition, deterministic=deterministic)
        return mixture_log_probs(outputs, images, levels=self.levels) if self.mixture else log_probs_of(outputs, images)

    @nn.compact
    def parameters(self, images: GivenImages, h: Vector | None = None, s: Map | None = None, **_: Any) -> Params:
        """Draws or reads the parameters, those of h and s only if h and s are given, and checks that these fit."""
        condition = Condition(h, s)
        as_images(images, channels=self.channels, levels=self.levels)
        stacked = partial(initialise_stacked, count=self.layers)
        params = {
            name: flax.core.unfreeze(self.param(name, stacked if name == "layers" else initialise, shape))
            for name, shape in self.parameter_shapes(condition).items()
        }
        check_condition(params if self.is_initializing() else self.variables["params"], condition, np.shape(images))
        return params

    def head_outputs(
        self, images: GivenImages, condition: Condition, *, deterministic: bool
    ) -> Float[Array, "batch height width channels outputs"]:
        """Returns the outputs of the head for every sub-pixel: logits, or the parameters of a mixture."""
        params = self.parameters(images, *condition)
        images = as_images(images, channels=self.channels, levels=self.levels)
        drop = self.make_rng("dropout") if self.dropout and not deterministic else None

        return _head_outputs(self.clone(parent=None, name=None), params, images, condition, drop)

    @nn.nowrap
    def check_given(self, condition: Condition) -> None:
        """Raises InputError for values of h or s that the network does not take. Traced values are not checked."""

    @nn.nowrap
    def check_variables(self, variables: Variables) -> None:
        """Raises InputError for values of parameters, read from a file, that the network cannot compute with."""

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        """Returns the shape of every parameter, those of h and s only if h and s are given."""
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
        """Returns the outputs of the head over whole images, from the features that ``encode`` made of them.

        It must depend only on its arguments and the hyperparameters: it is compiled once for equal models, and called
        on an unbound module. Parameters, inputs and condition have the types that ``products.product`` expects.
        """
        raise NotImplementedError

    @nn.nowrap
    def stream(self) -> Any:
        """Returns the steps of cached sampling, or None to run the whole network again for every sub-pixel.

        They are a ``models.streaming.Stream``, for which ``stream_of`` asks. A class whose layers differ from its
        parent's returns its own.
        """
        return None

    @nn.nowrap
    def inputs_before(self, colour: int) -> int:
        """Features that ``encode`` makes of a pixel whose colours are known up to one."""
        return 1 + colour * max(1, self.code_features)

    @property
    def inputs(self) -> int:
        """Features that ``encode`` makes of a pixel."""
        return self.inputs_before(self.channels)

    @property
    def maps(self) -> int:
        """Feature maps that pass from layer to layer."""
        return self.features

    @property
    def head_width(self) -> int:
        """Feature maps between the two 1x1 of the head."""
        return self.features if self.head_features is None else self.head_features

    @property
    def outputs(self) -> int:
        """Outputs of the head per sub-pixel."""
        return 3 * self.mixture + 2 * self.point_masses if self.mixture else self.levels


# One function for all calls, so that a call outside of ``jit`` is compiled once for equal models, and not each time.
# Inlined, it leaves the programs of callers, and the bits of a training run, as they are without it.
@partial(jax.jit, static_argnames="model", inline=True)
def _head_outputs(model: Network, params: Params, images: Images, condition: Condition, key: Array | None) -> Array:
    def outputs(params: Params, images: Images, condition: Condition, key: Array | None, *, dtype: Any) -> Array:
        condition = jax.tree.map(lambda x: x.astype(dtype), condition)
        inputs = encode(model, params, images, dtype)
        return model.forward(as_dtypes(model, params, dtype), inputs, condition, dropout_key=key)

    # On a CPU only products are fast in half precision: whatever is between them stays float32.
    on_cpu, elsewhere = partial(outputs, dtype=accumulation_dtype(model.dtype)), partial(outputs, dtype=model.dtype)
    if accumulation_dtype(model.dtype) == model.dtype:
        return on_cpu(params, images, condition, key)
    return jax.lax.platform_dependent(params, images, condition, key, cpu=on_cpu, default=elsewhere)


def as_logits(model: Network, outputs: Float[Array, "*subpixels outputs"]) -> Float[Array, "*subpixels levels"]:
    """Returns the outputs of the head as logits of the levels; those of a mixture are log-probabilities."""
    return mixture_logits(outputs, levels=model.levels) if model.mixture else outputs


def encode(
    model: Network, params: Params, images: Images, dtype: DTypeLike | None = None
) -> Float[Array, "batch height width inputs"]:
    """Returns the input of the first layer: a constant 1, then the intensity or embedded code of each channel.

    The constant distinguishes the image from the zero border. The type is ``dtype``, or the model's if it is None.
    """
    dtype = model.dtype if dtype is None else dtype
    if model.code_features:
        table = params["embedding"]["kernel"].astype(dtype)
        values = table[jnp.arange(model.channels), images].reshape(*images.shape[:3], -1)
    else:
        # Half precision is cast last: bfloat16 would round 2 / 255 and make the two brightest levels equal.
        values = intensities(images, model.levels, accumulation_dtype(dtype)).astype(dtype)
    return jnp.concatenate([jnp.ones_like(values[..., :1]), values], axis=-1)


def shared_shapes(model: Network) -> Params:
    """Returns the shapes of the head and of the embedding of codes."""
    width, classes = model.head_width, model.channels * model.outputs
    shapes: Params = {
        "head": {"hidden": affine((model.maps,), (width,), gain=2.0), "logits": affine((width,), (classes,))}
    }
    if model.code_features:
        shapes["embedding"] = {"kernel": Kernel((), (model.channels, model.levels, model.code_features))}
    return shapes


def condition_shapes(condition: Condition, outputs: tuple[int, ...], *sums: str) -> Params:
    """Returns the shapes of V h and V s, as far as h and s are given, for each sum that they join."""
    kernels = [item for sum_ in sums for item in condition.kernels(sum_).items()]
    return {name: Kernel((value.shape[-1],), outputs) for name, value in kernels}


def as_dtypes(model: Network, params: Params, features: DTypeLike) -> Params:
    """Returns kernels in the model's type and biases in that of the features, the logits' bias in float32 or better."""

    def one(path: tuple[Any, ...], x: Array) -> Array:
        if jax.tree_util.keystr(path) == "['head']['logits']['bias']":
            return x.astype(features) if jnp.dtype(features).itemsize > x.dtype.itemsize else x
        return x.astype(features if path[-1].key == "bias" else model.dtype)

    return jax.tree_util.tree_map_with_path(one, params)


def head_hidden(
    head: Params, features: Float[Array, "batch height width known"]
) -> Float[Array, "batch height width group"]:
    """Returns ReLU, 1x1, ReLU: the first half of the head."""
    return jax.nn.relu(one_by_one(head["hidden"], jax.nn.relu(features)))


def head_last(
    head: Params, hidden: Float[Array, "batch height width known"]
) -> Float[Array, "batch height width *group"]:
    """Returns the last 1x1, in float32 or better: the outputs of one colour or of all, channel by channel."""
    last = head["logits"]
    return add_bias(product(hidden, last["kernel"], result=accumulation_dtype(hidden.dtype)), last["bias"])


def whole_head(
    model: Network, head: Params, features: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width channels outputs"]:
    """Returns the masked head over whole images, all colours at once.

    On GPU and TPU the last product itself separates the channels: they would rearrange its result several times.
    """
    separate = (model.channels, model.outputs)

    def together(hidden: Array, head: Params) -> Array:
        flat = head_last(head, hidden)
        return flat.reshape(*flat.shape[:3], *separate)

    def separated(hidden: Array, head: Params) -> Array:
        return head_last(
            {"logits": jax.tree.map(lambda x: x.reshape(*x.shape[:-1], *separate), head["logits"])}, hidden
        )

    return jax.lax.platform_dependent(head_hidden(head, features), head, cpu=together, default=separated)


def check_precision(model: Network) -> None:
    """Raises InputError for a network in float64 where JAX has 32 bits."""
    if model.dtype == jnp.float64 and jnp.zeros(()).dtype != jnp.float64:
        raise InputError("dtype float64 needs 64 bits in JAX: call jax.config.update('jax_enable_x64', True) first.")


def check_hyperparameters(model: Network) -> None:
    """Raises InputError for hyperparameters that would give a network of another kind without a word."""
    channels, kernels = model.channels, ("kernel_size", "first_kernel_size")
    rules = {name: (getattr(model, name) % 2 and getattr(model, name) >= 3, "odd and at least 3") for name in kernels}
    rules |= {
        "features": (model.features >= channels, f"at least the number of channels, {channels}"),
        "head_features": (model.head_width >= channels, f"at least the number of channels, {channels}"),
        "levels": (2 <= model.levels <= 65536, "between 2 and 65536"),
        "dropout": (0 <= model.dropout <= 0.99, "between 0 and 0.99"),
        "dtype": (model.dtype in DTYPES, f"one of {', '.join(DTYPES)}"),
        "point_masses": (model.mixture or not model.point_masses, "False without a mixture"),
        "mixture": (not (model.mixture and model.code_features), "0 with code_features, whose order means nothing"),
    }
    for name, (holds, wanted) in rules.items():
        if not holds:
            raise InputError(f"{name} must be {wanted}, got {getattr(model, name)}.")
    check_precision(model)
