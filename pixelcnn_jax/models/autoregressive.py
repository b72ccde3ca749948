"""Base class of all networks: hyperparameters, call, encoding and head."""

from functools import partial
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, DTypeLike, Float, Key

from pixelcnn_jax.distributions import accumulation_dtype, intensities, log_probs_of, mixture_log_probs, mixture_logits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.declarations import condition_sizes, declarations
from pixelcnn_jax.models.inputs import (
    Condition,
    Images,
    ImagesLike,
    Map,
    Variables,
    Vector,
    as_array,
    as_images,
    check_condition,
)
from pixelcnn_jax.models.layers import add_bias, one_by_one
from pixelcnn_jax.models.parameters import Kernel, Params, affine, initialise
from pixelcnn_jax.models.products import product

DTYPES = ("float32", "bfloat16", "float16", "float64")


class Network(nn.Module):
    """Base class of autoregressive networks over sub-pixels.

    ``model.init(key, images, h, s)`` gives variables, ``model.apply(variables, images, h, s)`` logits.

    Attributes:
      levels: number of intensity levels, 2 to 65,536.
      channels: channels per image, predicted in order.
      features: hidden channels per stack (p); for the predecessors h, with 2h between layers.
      layers: number of layers after the first.
      kernel_size: filter size n, odd, at least 3; unused by Diagonal BiLSTM.
      first_kernel_size: filter size of the first layer (mask A).
      head_features: hidden channels of the head; None for ``features``.
      dropout: dropout rate, rounded to 1/256 but not to 0.
      code_features: embedding size of VQ-VAE codes; 0 reads intensities.
      mixture: number of discretised logistics (PixelCNN++, 1701.05517); 0 for a softmax.
      point_masses: add point masses at the lowest and highest level to the mixture.
      dtype: matmul dtype; logits are at least float32. bfloat16 cannot separate more than 512 levels.
      remat: recompute layers in the backward pass.
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
        object.__setattr__(self, "dtype", jnp.dtype(self.dtype))  # for equality
        check_hyperparameters(self)
        super().__post_init__()

    @nn.nowrap
    def init(self: nn.Module, rngs: Any, *inputs: Any, **options: Any) -> Any:
        """Draws the variables without computing logits."""
        return nn.Module.init(self, rngs, *inputs, **{"method": "parameters", **options})

    def __call__(
        self, images: ImagesLike, h: Vector | None = None, s: Map | None = None, *, deterministic: bool = True
    ) -> Float[Array, "batch height width channels levels"]:
        """Computes logits given all earlier sub-pixels; dropout uses rng "dropout"."""
        condition = jax.tree.map(as_array, Condition(h, s))
        return as_logits(self, self.head_outputs(images, condition, deterministic=deterministic))

    def log_probs(
        self, images: Images, condition: Condition, *, deterministic: bool = True
    ) -> Float[Array, "batch height width channels"]:
        """Computes the log-probability of every sub-pixel, in nats."""
        outputs = self.head_outputs(images, condition, deterministic=deterministic)
        return mixture_log_probs(outputs, images, levels=self.levels) if self.mixture else log_probs_of(outputs, images)

    @nn.compact
    def parameters(self, images: ImagesLike, h: Vector | None = None, s: Map | None = None, **_: Any) -> Params:
        """Draws or reads the parameters; those of h and s only if given."""
        condition = Condition(h, s)
        as_images(images, channels=self.channels, levels=self.levels)
        dtype = accumulation_dtype(self.dtype)
        params = {
            name: flax.core.unfreeze(self.param(name, initialise, shape, dtype))
            for name, shape in self.parameter_shapes(condition).items()
        }
        sizes = condition_sizes(self, params if self.is_initializing() else self.variables["params"])
        check_condition(sizes, condition, np.shape(images))
        return params

    def head_outputs(
        self, images: ImagesLike, condition: Condition, *, deterministic: bool
    ) -> Float[Array, "batch height width channels outputs"]:
        """Computes logits, or mixture parameters, of every sub-pixel."""
        params = self.parameters(images, *condition)
        images = as_images(images, channels=self.channels, levels=self.levels)
        drop = self.make_rng("dropout") if self.dropout and not deterministic else None
        return _head_outputs(self.clone(parent=None, name=None), params, images, condition, drop)

    @nn.nowrap
    def check_given(self, condition: Condition) -> None:
        """Raises InputError for invalid values of h or s."""

    @nn.nowrap
    def check_variables(self, variables: Variables) -> None:
        """Raises InputError for invalid parameters from a file."""

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        """Declares the parameters; those of h and s only if given."""
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
        """Computes the head's outputs from encoded images.

        Must be pure: it is compiled once for equal models, and called on an unbound module.
        """
        raise NotImplementedError

    @nn.nowrap
    def stream(self) -> Any:
        """Builds the ``Stream`` of cached sampling; None reruns the network instead.

        The stream holds for the class that defines this method, not for its subclasses.
        """
        return None

    @nn.nowrap
    def inputs_before(self, colour: int) -> int:
        """Counts the inputs of a pixel from the channels before ``colour``."""
        return 1 + colour * max(1, self.code_features)

    @property
    def inputs(self) -> int:
        return self.inputs_before(self.channels)

    @property
    def residual_features(self) -> int:
        return self.features

    @property
    def head_width(self) -> int:
        return self.features if self.head_features is None else self.head_features

    @property
    def outputs(self) -> int:
        return 3 * self.mixture + 2 * self.point_masses if self.mixture else self.levels


# Jitted so that eager calls compile once for equal models; inlined so that callers' programs stay the same.
@partial(jax.jit, static_argnames="model", inline=True)
def _head_outputs(model: Network, params: Params, images: Images, condition: Condition, key: Array | None) -> Array:
    def outputs(params: Params, images: Images, condition: Condition, key: Array | None, *, dtype: Any) -> Array:
        condition = jax.tree.map(lambda x: x.astype(dtype), condition)
        inputs = encode(model, params, images, dtype)
        return model.forward(as_dtypes(model, params, dtype), inputs, condition, dropout_key=key)

    # On CPU only matmuls are fast in half precision: the rest stays float32.
    on_cpu, elsewhere = partial(outputs, dtype=accumulation_dtype(model.dtype)), partial(outputs, dtype=model.dtype)
    if accumulation_dtype(model.dtype) == model.dtype:
        return on_cpu(params, images, condition, key)
    return jax.lax.platform_dependent(params, images, condition, key, cpu=on_cpu, default=elsewhere)


def as_logits(model: Network, outputs: Float[Array, "*subpixels outputs"]) -> Float[Array, "*subpixels levels"]:
    """Converts the head's outputs to logits over the levels."""
    return mixture_logits(outputs, levels=model.levels) if model.mixture else outputs


def encode(
    model: Network, params: Params, images: Images, dtype: DTypeLike | None = None
) -> Float[Array, "batch height width inputs"]:
    """Encodes pixels as 1 (distinguishes padding), then intensities or embeddings."""
    dtype = model.dtype if dtype is None else dtype
    if model.code_features:
        table = params["embedding"]["kernel"].astype(dtype)
        values = table[jnp.arange(model.channels), images].reshape(*images.shape[:3], -1)
    else:
        # Half precision is cast last: bfloat16 would round 2 / 255 and make the two brightest levels equal.
        values = intensities(images, model.levels, accumulation_dtype(dtype)).astype(dtype)
    return jnp.concatenate([jnp.ones_like(values[..., :1]), values], axis=-1)


def shared_shapes(model: Network) -> Params:
    """Declares the parameters of the head and the embedding."""
    width, classes = model.head_width, model.channels * model.outputs
    shapes: Params = {
        "head": {
            "hidden": affine((model.residual_features,), (width,), gain=2.0),
            "logits": affine((width,), (classes,)),
        }
    }
    if model.code_features:
        shapes["embedding"] = {"kernel": Kernel((), (model.channels, model.levels, model.code_features))}
    return shapes


def condition_shapes(condition: Condition, outputs: tuple[int, ...], *stacks: str) -> Params:
    """Declares V h and V s for each of ``stacks``."""
    return {
        f"{stack}_{name}": Kernel((value.shape[-1],), outputs, reads=name)
        for stack in stacks
        for name, value in condition.given().items()
    }


def as_dtypes(model: Network, params: Params, features: DTypeLike) -> Params:
    """Casts kernels to the matmul dtype and biases to ``features``."""

    declared = declarations(model)

    def convert(path: tuple[str, ...], x: Array) -> Array:
        if path == ("head", "logits", "bias"):
            return x.astype(features) if jnp.dtype(features).itemsize > x.dtype.itemsize else x
        return x.astype(features if declared[path].is_bias else model.dtype)

    return unflatten_dict({path: convert(path, x) for path, x in flatten_dict(params).items()})


def head_hidden(
    head: Params, features: Float[Array, "batch height width known"]
) -> Float[Array, "batch height width block"]:
    """Applies ReLU, 1x1, ReLU."""
    return jax.nn.relu(one_by_one(head["hidden"], jax.nn.relu(features)))


def head_last(
    head: Params, hidden: Float[Array, "batch height width known"]
) -> Float[Array, "batch height width *block"]:
    """Applies the last 1x1, in float32 or better."""
    last = head["logits"]
    return add_bias(product(hidden, last["kernel"], result=accumulation_dtype(hidden.dtype)), last["bias"])


def whole_head(
    model: Network, head: Params, features: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width channels outputs"]:
    """Applies the masked head to whole images."""
    flat = head_last(head, head_hidden(head, features))
    return flat.reshape(*flat.shape[:3], model.channels, model.outputs)


def check_precision(model: Network) -> None:
    """Raises InputError for float64 without ``jax_enable_x64``."""
    if model.dtype == jnp.float64 and jnp.zeros(()).dtype != jnp.float64:
        raise InputError("dtype float64 needs 64 bits in JAX: call jax.config.update('jax_enable_x64', True) first.")


def check_hyperparameters(model: Network) -> None:
    """Raises InputError for hyperparameters that would silently change the network."""
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
    for name, (holds, requirement) in rules.items():
        if not holds:
            raise InputError(f"{name} must be {requirement}, got {getattr(model, name)}.")
    check_precision(model)
