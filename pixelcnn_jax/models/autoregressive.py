"""Base class of all networks: hyperparameters, call, encoding and head."""

from functools import partial
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, DTypeLike, Float, Key

from pixelcnn_jax.distributions import accumulation_dtype, intensities, log_probs_of, mixture_log_probs, mixture_logits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import as_array, as_images, check_condition, with_channels
from pixelcnn_jax.models.declarations import condition_sizes, declarations
from pixelcnn_jax.models.inputs import Condition, HeadOutputs, Images, ImagesLike, LogProbs, Map, Variables, Vector
from pixelcnn_jax.models.layers import Features, add_bias, one_by_one
from pixelcnn_jax.models.parameters import Kernel, Params, affine, initialise
from pixelcnn_jax.models.products import product

DTYPES = ("float32", "bfloat16", "float16", "float64")


class Network(nn.Module):
    """Base class of the networks: p(x | h, s) as a product of conditionals, one for each sub-pixel in raster order.

    A sub-pixel is one channel of one pixel. Raster order is row by row from the top, each row from left to right, and
    each pixel channel by channel.

    This is a Linen module: ``model.init(key, images, h, s)`` draws its variables, and ``model.apply(variables, images,
    h, s)`` computes the logits of every sub-pixel given all earlier ones. If the model reads no h or no s, leave it out
    in both calls, or pass None.

    Attributes:
      levels: Number of intensity levels of a sub-pixel, 2 to 65,536; images hold the integers 0 to ``levels - 1``.
      channels: Number of channels of a pixel, which are predicted one after the other, 1 for grey and 3 for RGB.
      features: Number of feature maps of a layer; the docstring of each network says which are counted.
      layers: Number of layers after the first.
      kernel_size: Size n of the filters of the layers, odd and at least 3.
      first_kernel_size: Size of the filters of the first layer, odd and at least 3. That layer excludes the current
        sub-pixel (mask A) and is not counted in ``layers``.
      head_features: Number of channels between the two 1x1 convolutions of the head. None means ``features``.
      dropout: Fraction of units that training sets to zero, from 0 to 0.99. A rate above 0 is rounded to a positive
        multiple of 1/256.
      code_features: Size of a learned embedding of each level, for the codes of a VQ-VAE, whose order means nothing. 0
        embeds nothing: levels are read as intensities.
      mixture: Number of discretised logistic distributions whose mixture is the prediction (PixelCNN++, 1701.05517).
        Use it for many levels. 0 predicts a softmax over the levels.
      point_masses: Whether the mixture has two additional point masses, at the lowest and at the highest level, for
        images with plain black or white areas.
      dtype: Type of the operands of matrix products, "float32" (the default), "bfloat16", "float16" or "float64".
        Logits are float32 at least. Without ``code_features``, a network can distinguish about 513 levels in
        bfloat16, and 4,097 in float16.
      remat: Whether the backward pass recomputes the layers, for less memory and more time.
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
        """Draws the variables, without computing logits.

        Args:
          rngs: A PRNG key.
          *inputs: Images, and h and s if the model is to read them, as in a call. Only their shapes matter,
            but images must be integers in range, for example zeros of type int.
          **options: Further options of Flax's ``init``.

        Returns:
          The variables, a dict with the collection "params".
        """
        return nn.Module.init(self, rngs, *inputs, **{"method": "parameters", **options})

    def __call__(
        self, images: ImagesLike, h: Vector | None = None, s: Map | None = None, *, deterministic: bool = True
    ) -> Float[Array, "batch height width channels levels"]:
        """Computes the logits of every sub-pixel given all earlier ones.

        Args:
          images: Integers 0 to ``levels - 1``, or bool, of shape [batch, height, width, channels]; the last axis may be
            missing if there is one channel.
          h: A vector for each image, floats of shape [batch, condition] (equation 4 of 1606.05328); only if ``init``
            had one.
          s: A map for each image, floats of shape [batch, height, width, map_features] (equation 5); only if ``init``
            had one.
          deterministic: False applies dropout, with the PRNG key ``rngs={"dropout": key}``.

        Returns:
          Unnormalised log-probabilities of the levels, float32 at least, of shape [batch, height, width, channels,
          levels]. If the network predicts a mixture, they are cut off (at -87 in float32) and have no gradient there,
          so train and score it by ``log_probs`` instead.

        Raises:
          InputError: If images, h or s do not fit the network.
        """
        condition = jax.tree.map(as_array, Condition(h, s))
        return as_logits(self, self.head_outputs(images, condition, deterministic=deterministic))

    def log_probs(self, images: ImagesLike, condition: Condition, *, deterministic: bool = True) -> LogProbs:
        """Computes the log-probability of every sub-pixel.

        Args:
          images: Images as in a call of the network.
          condition: h and s, as in a call of the network.
          deterministic: False applies dropout.

        Returns:
          Log-probabilities in nats, at most 0, of shape [batch, height, width, channels].
        """
        outputs = self.head_outputs(images, condition, deterministic=deterministic)
        images = with_channels(images, self.channels)
        return mixture_log_probs(outputs, images, levels=self.levels) if self.mixture else log_probs_of(outputs, images)

    @nn.compact
    def parameters(self, images: ImagesLike, h: Vector | None = None, s: Map | None = None, **_: Any) -> Params:
        """Draws the parameters if the module is being initialised, and otherwise reads them.

        Args:
          images: Integers in range, such as zeros. They are checked, but only their shape matters.
          h: A vector for each image, if the network is to read one.
          s: A map for each image, if the network is to read one.

        Returns:
          The parameters, as declared by ``parameter_shapes``.

        Raises:
          InputError: If h or s is missing, or given although the parameters have no kernels for it, or if images are
            not integers or bools in range.
        """
        condition = Condition(h, s)
        as_images(images, channels=self.channels, levels=self.levels)
        given = {name: jnp.shape(x)[-1] if jnp.ndim(x) != 1 else "classes" for name, x in condition.given().items()}
        sizes = given if self.is_initializing() else condition_sizes(self, self.variables.get("params", {}))
        check_condition(sizes, condition, jnp.shape(images))
        dtype = accumulation_dtype(self.dtype)
        return {
            name: flax.core.unfreeze(self.param(name, initialise, shape, dtype))
            for name, shape in self.parameter_shapes(condition).items()
        }

    def head_outputs(self, images: ImagesLike, condition: Condition, *, deterministic: bool) -> HeadOutputs:
        """Computes the logits, or the parameters of the mixture, of every sub-pixel.

        Args:
          images: Images as in a call of the network.
          condition: h and s, as in a call of the network.
          deterministic: False applies dropout.

        Returns:
          Outputs of shape [batch, height, width, channels, ``outputs``].
        """
        params = self.parameters(images, *condition)
        images = as_images(images, channels=self.channels, levels=self.levels)
        drop = self.make_rng("dropout") if self.dropout and not deterministic else None
        return _head_outputs(self.clone(parent=None, name=None), params, images, condition, drop)

    @nn.nowrap
    def check_given(self, condition: Condition) -> None:
        """Checks the values of h and s; a subclass may override it.

        Args:
          condition: h and s; traced values cannot be checked.

        Raises:
          InputError: If a value cannot be used.
        """

    @nn.nowrap
    def check_variables(self, variables: Variables) -> None:
        """Checks parameters that were read from a file; a subclass may override it.

        Args:
          variables: The variables, whose names and shapes are those of the network.

        Raises:
          InputError: If a value cannot be used.
        """

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        """Declares the parameters; the one method besides ``forward`` that a network must define.

        Args:
          condition: h and s; the kernels that read one of them are declared only if it is not None.

        Returns:
          A nested dict of ``pixelcnn_jax.models.parameters.Kernel`` (the input and output axes of each array), in the
          structure of the parameters.
        """
        raise NotImplementedError

    @nn.nowrap
    def forward(
        self,
        params: Params,
        inputs: Float[Array, "batch height width inputs"],
        condition: Condition,
        *,
        key: Key[Array, ""] | None = None,
    ) -> HeadOutputs:
        """Computes the outputs of the head from encoded images.

        It must be pure, since networks with equal fields share one compiled program. It is called on an unbound module,
        so it may read the fields and ``params``, but no Flax variables.

        Args:
          params: The parameters, as declared by ``parameter_shapes``.
          inputs: A constant 1, which tells pixels from padding, and the intensities or embeddings, of shape [batch,
            height, width, inputs].
          condition: h and s, in the dtype of the features.
          key: PRNG key of the dropout; None disables it.

        Returns:
          Outputs of shape [batch, height, width, channels, ``outputs``], of which those of a sub-pixel depend on
          earlier sub-pixels only.
        """
        raise NotImplementedError

    @nn.nowrap
    def stream(self) -> Any:
        """Builds the ``Stream`` (``models.streaming``), by which sampling evaluates the network with a cache.

        A stream computes what one class computes, and a subclass may compute something else. A subclass is therefore
        sampled without a cache until it defines ``stream`` itself.

        Returns:
          The stream, or None if sampling is to rerun the network for each sub-pixel.
        """
        return None

    @nn.nowrap
    def inputs_before(self, colour: int) -> int:
        """Counts the encoded inputs of a pixel that are known before a channel is drawn.

        Args:
          colour: Index of the channel.

        Returns:
          Their number, including the constant 1, the first input of each pixel.
        """
        return 1 + colour * max(1, self.code_features)

    @property
    def inputs(self) -> int:
        """Number of encoded inputs of a pixel."""
        return self.inputs_before(self.channels)

    @property
    def residual_features(self) -> int:
        """Number of feature maps that the head reads."""
        return self.features

    @property
    def head_width(self) -> int:
        """Number of hidden channels of the head."""
        return self.features if self.head_features is None else self.head_features

    @property
    def outputs(self) -> int:
        """Number of outputs of the head for each sub-pixel."""
        return 3 * self.mixture + 2 * self.point_masses if self.mixture else self.levels


# Jitted, so that calls outside jit compile once for equal models. Inlined, so that it changes no jitted caller.
@partial(jax.jit, static_argnames="model", inline=True)
def _head_outputs(model: Network, params: Params, images: Images, condition: Condition, key: Array | None) -> Array:
    def outputs(params: Params, images: Images, condition: Condition, key: Array | None, *, dtype: Any) -> Array:
        condition = jax.tree.map(lambda x: x.astype(dtype), condition)
        inputs = encode(model, params, images, dtype)
        return model.forward(as_dtypes(model, params, dtype), inputs, condition, key=key)

    # On CPU only matmuls are fast in half precision: the rest stays float32.
    on_cpu, elsewhere = partial(outputs, dtype=accumulation_dtype(model.dtype)), partial(outputs, dtype=model.dtype)
    if accumulation_dtype(model.dtype) == model.dtype:
        return on_cpu(params, images, condition, key)
    return jax.lax.platform_dependent(params, images, condition, key, cpu=on_cpu, default=elsewhere)


def as_logits(model: Network, outputs: Float[Array, "*subpixels outputs"]) -> Float[Array, "*subpixels levels"]:
    """Converts the head's outputs to logits over the levels."""
    return mixture_logits(outputs, levels=model.levels) if model.mixture else outputs


def encode(model: Network, params: Params, images: Images, dtype: DTypeLike | None = None) -> Features:
    """Encodes each pixel: a constant 1, which tells pixels from padding, then its intensities or embeddings."""
    dtype = model.dtype if dtype is None else dtype
    if model.code_features:
        table = params["embedding"]["kernel"].astype(dtype)
        values = table[jnp.arange(model.channels), images.astype(jnp.int32)].reshape(*images.shape[:3], -1)
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
    """Declares the kernels V that read h and s (equations 4 and 5), for each of ``stacks``."""
    return {
        f"{stack}_{name}": Kernel((value.shape[-1],), outputs, reads=name)
        for stack in stacks
        for name, value in condition.given().items()
    }


def as_dtypes(model: Network, params: Params, features: DTypeLike) -> Params:
    """Casts kernels to the dtype of matrix products, and biases to ``features``, the dtype of the features.

    The bias of the logits is never cast to a narrower type, because logits must be float32 at least.
    """

    declared = declarations(model)

    def convert(path: tuple[str, ...], x: Array) -> Array:
        if path == ("head", "logits", "bias"):
            return x.astype(features) if jnp.dtype(features).itemsize > x.dtype.itemsize else x
        return x.astype(features if declared[path].is_bias else model.dtype)

    return unflatten_dict({path: convert(path, x) for path, x in flatten_dict(params).items()})


def head_hidden(head: Params, features: Features) -> Features:
    """Applies ReLU, 1x1, ReLU."""
    return jax.nn.relu(one_by_one(head["hidden"], jax.nn.relu(features)))


def head_last(head: Params, hidden: Features) -> Float[Array, "batch height width *block"]:
    """Applies the last 1x1, in float32 or better."""
    last = head["logits"]
    return add_bias(product(hidden, last["kernel"], result=accumulation_dtype(hidden.dtype)), last["bias"])


def whole_head(model: Network, head: Params, features: Features) -> HeadOutputs:
    """Applies the masked head to whole images."""
    flat = head_last(head, head_hidden(head, features))
    return flat.reshape(*flat.shape[:3], model.channels, model.outputs)


def check_precision(model: Network) -> None:
    """Raises InputError for float64 without ``jax_enable_x64``."""
    if model.dtype == jnp.float64 and jnp.zeros(()).dtype != jnp.float64:
        raise InputError("dtype float64 needs 64 bits in JAX: call jax.config.update('jax_enable_x64', True) first.")


def check_hyperparameters(model: Network) -> None:
    """Raises InputError for invalid hyperparameters, most of which would otherwise silently build another network."""
    channels, kernels = model.channels, ("kernel_size", "first_kernel_size")
    rules = {name: (getattr(model, name) % 2 and getattr(model, name) >= 3, "odd and at least 3") for name in kernels}
    rules |= {
        "layers": (model.layers >= 1, "at least 1"),
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
