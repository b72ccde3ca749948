"""The layers of the Gated PixelCNN as functions of arrays, without Flax.

The network has a vertical and a horizontal stack, and each layer has a part in both. The numbers of equations and
figures in the docstrings are those of the paper, 1606.05328. The parameters of a layer are a dict with the names in
this drawing, which is figure 2 of the paper::

    vertical input --> vertical + bias --+--> + condition --> gate --------------> vertical input of the next layer
                                         |
                                      crossing
                                         v
    horizontal input --> left, pixel --> + --> + bias + condition --> gate --> out --> + --> horizontal input of the
           |                                                                           ^     next layer
           +---------------------------------------------------------------------------+
                                  residual connection, not in the first layer

``vertical`` convolves each row with the rows above it. ``left`` reads the pixels to the left in the row. ``pixel``
reads the features at the pixel's own position, masked so that only the earlier colours of this pixel have an effect.
``left`` and ``pixel`` are in ``layer["horizontal"]``. ``crossing`` and ``out`` are 1x1 convolutions.

Training and sampling share the functions that compute a layer. Training calls them with whole images, sampling calls
them with one row or one pixel at a time. A vertical convolution therefore has an argument ``memory``, the rows above
its input. They are zero for a whole image and for the first row of a sample; later in sampling, they are the rows that
earlier calls of the layer have read. Three functions serve only whole images; the sampler has something else instead:

- For ``shift_down``: the vertical stack gets the row above the current one.
- For ``horizontal_conv``, which pads each row: ``horizontal_conv_valid`` gets the pixels to the left of the current
  one, which the sampler keeps.
- For ``horizontal_rows``: ``horizontal_layer`` is called for one pixel and one colour at a time.

Between some layers, a network may also apply ``models.attention`` to the vertical stack.

For the docstrings you need to know:

- A *colour* is a channel of a pixel. The colours of a pixel are predicted one after the other.
- The *gate* is tanh(f) * sigmoid(g), where f and g are the two halves of a pre-activation. ``gates...`` in a shape
  stands for the axes that hold them. These are two axes, (2, features); in the forward pass on accelerators, they are
  one axis of length 2 * features.
- ``left`` and ``pixel`` are parts of one kernel, which ``GatedPixelCNN.parameter_shapes`` declares and
  ``models.colours.mask_params`` cuts in two. The features are divided into groups, one for each colour. ``mask_params``
  also masks ``pixel`` and ``out``. Within its own pixel, a group therefore reads only the colours that come before its
  colour.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Key

from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.products import product, window_product

Dropout = Callable[[Array], Array]
Features = Float[Array, "batch height width _"]  # of any number of channels
PRE_ACTIVATION = "pre_activation of a layer"  # the name by which jax.checkpoint can save pre-activations


def shift_down(x: Float[Array, "batch height width features"]) -> Float[Array, "batch height width features"]:
    """Shifts an image down by one row, so that the vertical stack excludes the current row.

    Args:
      x: Features of shape [batch, height, width, features].

    Returns:
      The same shape: a first row of zeros, then all rows but the last.
    """
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


def vertical_conv_valid(
    kernel: Float[Array, "kernel_rows kernel_columns features *gates"], rows: Float[Array, "batch rows width features"]
) -> Float[Array, "batch new_rows width *gates"]:
    """Convolves with zero padding of the columns and none of the rows.

    Args:
      kernel: Shape [kernel_rows, kernel_columns, features, gates...].
      rows: A window of rows, of shape [batch, rows, width, features].

    Returns:
      Shape [batch, rows - kernel_rows + 1, width, gates...].
    """
    border = kernel.shape[1] // 2
    return window_product(jnp.pad(rows, ((0, 0), (0, 0), (border, border), (0, 0))), kernel)


def vertical_conv(
    kernel: Float[Array, "kernel_rows kernel_columns features *gates"],
    x: Float[Array, "batch rows width features"],
    memory: Float[Array, "batch remembered width features"],
) -> tuple[Float[Array, "batch rows width *gates"], Float[Array, "batch remembered width features"]]:
    """Computes the convolution of the vertical stack, over each row and the rows above it.

    Args:
      kernel: Shape [kernel_rows, kernel_columns, features, gates...]. For filters of size n, it has n columns. The
        first layer must not read the current row of the image, so its kernel has only floor(n/2) rows, and x is the
        image shifted down by one row: the last row of the kernel reads the image row above the current one. In all
        other layers, the kernel has ceil(n/2) rows. Its last row reads the features at the current row, which know only
        image rows above it.
      x: The new rows, of shape [batch, rows, width, features].
      memory: The ``kernel_rows - 1`` rows above them.

    Returns:
      The convolution, of shape [batch, rows, width, gates...], and the memory of the rows that follow.
    """
    window = jnp.concatenate([memory, x], axis=1)
    return vertical_conv_valid(kernel, window), window[:, x.shape[1] :]


def zero_rows(layer: Params, x: Float[Array, "batch _ width _"]) -> Float[Array, "batch rows width features"]:
    """Builds the memory above an image: zeros, which is the padding of the vertical convolution.

    Args:
      layer: The parameters of a layer.
      x: The features that the layer is to read; only their batch, width and dtype matter.

    Returns:
      Shape [batch, kernel_rows - 1, width, features].
    """
    rows, _, inputs, *_ = layer["vertical"]["kernel"].shape
    return jnp.zeros((x.shape[0], rows - 1, x.shape[2], inputs), x.dtype)


def horizontal_conv_valid(
    kernel: Float[Array, "kernel_columns features *gates"], x: Float[Array, "batch height columns features"]
) -> Float[Array, "batch height new_columns *gates"]:
    """Convolves along a row without padding.

    Args:
      kernel: Shape [kernel_columns, features, gates...].
      x: Shape [batch, height, columns, features].

    Returns:
      Shape [batch, height, columns - kernel_columns + 1, gates...].
    """
    return window_product(x, kernel[None])


def horizontal_conv(
    kernel: Float[Array, "kernel_columns features *gates"], x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width *gates"]:
    """Computes the part of the horizontal convolution that reads the pixels to the left of each pixel.

    Args:
      kernel: Shape [kernel_columns, features, gates...], for filters of size n: floor(n/2) columns.
      x: Shape [batch, height, width, features].

    Returns:
      Shape [batch, height, width, gates...].
    """
    return horizontal_conv_valid(kernel, jnp.pad(x, ((0, 0), (0, 0), (kernel.shape[0], 0), (0, 0)))[:, :, :-1])


def add_bias(x: Float[Array, "batch height width *outputs"], bias: Float[Array, "*outputs"]) -> Float[Array, "..."]:
    """Adds a bias at every position.

    Args:
      x: Shape [batch, height, width, outputs...].
      bias: Shape [outputs...].

    Returns:
      The shape of x.
    """
    return x + bias[None, None, None]


def concatenate_features(earlier: Array | None, new: Array) -> Array:
    """Concatenates the features of earlier colours with those of the next one.

    Args:
      earlier: Features of the earlier colours, or None if there are none.
      new: Features of the next colour.

    Returns:
      Both, along the last axis.
    """
    return new if earlier is None else jnp.concatenate([earlier, new], axis=-1)


def one_by_one(layer: Params, x: Features) -> Float[Array, "batch height width *outputs"]:
    """Applies a 1x1 convolution.

    Args:
      layer: The parameters: a kernel [inputs, outputs...] and a bias [outputs...].
      x: Shape [batch, height, width, inputs].

    Returns:
      Shape [batch, height, width, outputs...].
    """
    return add_bias(product(x, layer["kernel"]), layer["bias"])


def gate(x: Float[Array, "batch height width *gates"]) -> Float[Array, "batch height width features"]:
    """Applies the gated activation tanh(f) * sigmoid(g) of equation 2.

    Args:
      x: The arguments f and g. An x with five axes has them stacked on axis -2. An x with four axes, which is the
        layout of the forward pass on accelerators, has them concatenated on the last axis.

    Returns:
      Shape [batch, height, width, features].
    """
    tanh_half, sigmoid_half = (x[..., 0, :], x[..., 1, :]) if x.ndim == 5 else jnp.split(x, 2, axis=-1)
    return jnp.tanh(tanh_half) * jax.nn.sigmoid(sigmoid_half)


def dropout(key: Key[Array, ""], rate: float, x: Features) -> Features:
    """Applies dropout: sets units to zero at random, and scales the others so that the mean stays.

    Args:
      key: PRNG key.
      rate: Fraction of units to set to zero, rounded to a positive multiple of 1/256.
      x: Shape [batch, height, width, features].

    Returns:
      The shape of x.
    """
    threshold = max(1, round(rate * 256))
    # A random word of 32 bits serves four units, since a word per unit would take a CPU as long as the layer itself.
    # Batch, height and width are a single axis here. As separate axes they would be short, and XLA on CPU unrolls short
    # axes, which takes seconds to compile.
    words = jax.random.bits(key, (math.prod(x.shape[:3]), -(-x.shape[3] // 4)), jnp.uint32)
    uniform = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*x.shape[:3], -1)[..., : x.shape[3]]
    return jnp.where(uniform >= threshold, x * (256 / (256 - threshold)), jnp.zeros_like(x))


def dropouts(key: Key[Array, ""] | None, rate: float) -> tuple[Dropout, Dropout]:
    """Builds the dropout functions of the two stacks of a layer.

    Args:
      key: PRNG key; None builds functions that change nothing.
      rate: Fraction of units to set to zero.

    Returns:
      The dropout of the horizontal and that of the vertical stack.
    """
    if key is None:
        return (lambda x: x), (lambda x: x)
    horizontal, vertical = jax.random.split(key)
    return partial(dropout, horizontal, rate), partial(dropout, vertical, rate)


def condition_terms(
    layer: Params, stack: str, condition: Condition, *, precision: jax.lax.Precision | None = None
) -> Float[Array, "#batch #height #width *features"] | float:
    """Computes what a condition adds to the pre-activations of one stack: V h (equation 4) and V s (equation 5).

    Args:
      layer: The parameters of a layer, with the kernels of h and s by names such as "vertical_h".
      stack: The prefix of the names of the kernels, such as "vertical" or "horizontal".
      condition: The vector h and the map s, each with a separate V. The term V h is the same at every pixel, and V s is
        computed from the vector of s at each pixel.
      precision: Precision of the matrix products, as in ``jax.numpy.dot``.

    Returns:
      The sum, which broadcasts to the pre-activations; 0.0 without a condition.
    """
    terms: Array | float = 0.0
    for name, value in condition.given().items():
        term = product(jnp.asarray(value), layer[f"{stack}_{name}"], precision=precision)
        terms = terms + (term[:, None, None] if value.ndim == 2 else term)
    return terms


class VerticalOutput(NamedTuple):
    """What ``vertical_layer`` computes.

    Attributes:
      pre_activation: The output of the convolution with its bias, before the condition is added.
      crossing: All terms of the horizontal pre-activation that do not depend on the current row: the output of the 1x1
        convolution ``layer["crossing"]`` and, added already here, the bias and the condition of the horizontal stack.
      out: The gated output, which the next layer reads.
      memory: The rows that the next call needs.
    """

    pre_activation: Float[Array, "batch rows width *gates"]
    crossing: Float[Array, "batch rows width *gates"]
    out: Float[Array, "batch rows width features"]
    memory: Float[Array, "batch remembered width features"]


def vertical_layer(
    layer: Params,
    x: Float[Array, "batch rows width features"],
    memory: Float[Array, "batch remembered width features"],
    condition: Condition,
) -> VerticalOutput:
    """Computes the vertical stack of a layer (figure 2), and what it adds to the horizontal pre-activation.

    Args:
      layer: The parameters of a layer.
      x: The input of the vertical stack, of shape [batch, rows, width, features]: from the layer before, or in the
        first layer the image shifted down by a row.
      memory: The rows above, from ``zero_rows`` or the call before.
      condition: h and s of these rows.

    Returns:
      A ``VerticalOutput``: the output of the convolution with its bias; the crossing, which is a part of the horizontal
      pre-activation; the gated output; and the new memory.
    """
    pre_activation, memory = vertical_conv(layer["vertical"]["kernel"], x, memory)
    pre_activation = checkpoint_name(add_bias(pre_activation, layer["vertical"]["bias"]), PRE_ACTIVATION)
    kernel = layer["crossing"]["kernel"]
    # The horizontal bias, V h and V s are added here, so that sampling adds them once per row.
    crossing = add_bias(product(pre_activation, kernel, axes=kernel.ndim // 2), layer["horizontal"]["bias"])
    return VerticalOutput(
        pre_activation=pre_activation,
        crossing=crossing + condition_terms(layer, "horizontal", condition),
        out=gate(pre_activation + condition_terms(layer, "vertical", condition)),
        memory=memory,
    )


def horizontal_layer(
    layer: Params,
    x: Float[Array, "batch height width features"],
    pre_activation: Float[Array, "#batch #height #width *gates"],
    out: Float[Array, "#batch #height #width out_features"],
    *,
    residual: bool = True,
    drop: Dropout = lambda x: x,
) -> tuple[Float[Array, "batch height width out_features"], Float[Array, "batch height width out_features"]]:
    """Completes the horizontal pre-activation by the kernel ``pixel``, and computes the rest of the horizontal stack.

    For whole images, this function is called once per layer. In sampling, it is called once per layer and colour, for
    one pixel. The earlier colours of the pixel were then computed by earlier calls. The argument ``out`` already
    contains what they add to the 1x1 convolution ``layer["out"]``. What they add to the pre-activation enters in one of
    two ways:

    - In the first layer, x contains the colours drawn so far, and ``pixel`` reads them in this call.
    - In the other layers, x has only the group of features from which the current colour is predicted.
      ``pre_activation`` must already contain the products of ``pixel`` with the features of the earlier colours.

    Args:
      layer: The parameters of a layer; in sampling, the part of them that computes one colour.
      x: The input of the horizontal stack, of shape [batch, height, width, features], from the layer before or the
        image. The image comes with one more channel, which is 1 at every pixel and 0 in the padding, so that the
        network can tell padding from black pixels.
      pre_activation: The pre-activation without the product of x and ``pixel``, which this function adds. It is the sum
        of the terms of the vertical stack, the pixels to the left, the bias and the condition. In sampling, in all
        layers but the first, it also contains the terms of the earlier colours of the pixel.
      out: The terms of the 1x1 convolution ``layer["out"]`` that are known before this call: its bias and, in sampling,
        what the gated units of earlier colours contribute. This function adds what its own gated units contribute.
      residual: Whether x is added to the output, as in all layers but the first.
      drop: The dropout of the gated units.

    Returns:
      The output of the layer, and its gated units.
    """
    pre_activation = pre_activation + product(x, layer["horizontal"]["pixel"])
    gated = drop(gate(checkpoint_name(pre_activation, PRE_ACTIVATION)))
    out = out + product(gated, layer["out"]["kernel"])
    return (x + out if residual else out), gated


def horizontal_rows(
    layer: Params,
    x: Float[Array, "batch height width inputs"],
    crossing: Float[Array, "batch height width *gates"],
    *,
    residual: bool = True,
    drop: Dropout = lambda x: x,
) -> tuple[Float[Array, "batch height width features"], Float[Array, "batch height width features"]]:
    """Computes the horizontal stack of a layer over whole rows.

    Args:
      layer: The parameters of a layer.
      x: The input of the horizontal stack, from the layer before or the image, of shape [batch, height, width,
        features].
      crossing: The term of the vertical stack with the bias and the condition, from ``vertical_layer``.
      residual: Whether x is added to the output, as in all layers but the first.
      drop: The dropout of the gated units.

    Returns:
      The output of the layer, and its gated units.
    """
    before = crossing + horizontal_conv(layer["horizontal"]["left"], x)
    bias = layer["out"]["bias"][None, None, None]
    return horizontal_layer(layer, x, before, bias, residual=residual, drop=drop)
