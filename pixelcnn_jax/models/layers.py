"""The layers of the Gated PixelCNN as functions of arrays, without Flax.

The network has a vertical and a horizontal stack, and each layer has a part in both. The vertical stack reads the rows
above a pixel. The horizontal stack reads the result of the vertical stack, the pixels to the left in the row, and some
of the channels of the pixel itself. The channels of a pixel, its *colours*, are predicted one after the other, and each
may depend on the earlier ones. The docstrings refer to figures and equations of the paper, 1606.05328. The drawing
shows one layer, as figure 2 of the paper does. The words ``vertical``, ``crossing``, ``left``, ``pixel`` and ``out`` in
it are kernels, which are described after the drawing::

    vertical input --> vertical + bias --+--> + condition --> gate --------------> vertical input of the next layer
                                         |
                                      crossing
                                         v
    horizontal input --> left, pixel --> + --> + bias + condition --> gate --> out --> + --> horizontal input of the
           |                                                                           ^     next layer
           +---------------------------------------------------------------------------+
                                  residual connection, not in the first layer

The argument of a gate is a sum of convolutions, bias and condition. It is called the *pre-activation*. Several
functions add its terms, one after the other, and arguments named ``pre_activation`` hold the terms added so far. The
pre-activation has two halves, f and g, and the *gate* computes tanh(f) * sigmoid(g). The condition is a vector h, a map
s, or both; in the drawing, ``condition`` stands for what it adds to the pre-activation. The parameters of a layer are a
dict, ``layer``:

- ``layer["vertical"]`` is a convolution over each row of its input and the rows above it. (The input of the first layer
  is shifted down, so that the current row of the image is never read; see below.)
- ``layer["crossing"]`` is a 1x1 convolution from the vertical to the horizontal stack.
- ``layer["horizontal"]`` has two kernels. ``left`` reads the pixels to the left, and ``pixel`` reads the pixel itself.
  ``pixel`` is masked, so that only the earlier colours of the pixel have an effect.
- ``layer["out"]`` is a 1x1 convolution of the gated units. It is masked, too (see below).

Training and sampling share the functions that compute a layer. For whole images, as in training, ``vertical_layer``
computes the upper line of the drawing. It also computes three terms of the lower line: ``crossing``, the bias and the
condition. (They do not depend on the current row of the image, so sampling can compute them once a row.)
``horizontal_rows`` computes the rest of the lower line. Sampling computes each part of a layer as early as its inputs
are known:

- Once for each row, ``vertical_layer`` computes the same as for whole images, but for this row only.
- Once for each pixel, ``horizontal_conv_valid`` applies ``left`` to the pixels to the left, which the sampler keeps.
  (For whole images, ``horizontal_rows`` calls ``horizontal_conv`` instead, which pads each row on the left.)
- Once for each colour, ``horizontal_layer`` adds the term of ``pixel`` and computes the rest of the lower line for the
  group of features of this colour. (For whole images, ``horizontal_rows`` calls it once, for all pixels and colours.)

Since a vertical convolution also reads rows above its input, it has an argument ``memory``, which holds these rows.
They are zero for a whole image and for the first row of a sample. Later in sampling, they are the rows that earlier
calls of the layer have read.

The vertical stack must not read the current row of the image. For whole images, the input of its first layer is
therefore the image shifted down by one row (``shift_down``). In sampling, it is the row above the current one.

To call or change these functions, you also need to know:

- The functions take masked parameters. ``GatedPixelCNN.parameter_shapes`` declares ``left`` and ``pixel`` as one
  kernel; ``models.colours.mask_params`` cuts it in two, and masks ``pixel`` and ``out``. For the masks, the features
  are divided into groups, one for each colour. Each group may depend on all earlier pixels. Of the current pixel, it
  may depend only on the colours before its own: with RGB, the group of green may depend on red, but not on green or
  blue. In the first layer, ``pixel`` reads the image, so for the group of green it may read red, but no other colour.
  In the other layers, ``pixel`` reads the features of the layer before: for green, those of the groups of red and
  green. (It may read those of green, because they depend only on the earlier pixels and on red.) ``out`` reads gated
  units. In every layer, the group of green may read the gated units of red and of green, because those of green depend
  on red, but on no other colour of the pixel.
- ``gates...`` in a shape stands for the axes of a pre-activation that hold f and g. These are two axes, (2, features).
  In the forward pass on accelerators, they are merged into one axis of length 2 * features.
- The image that the first layer reads has an additional channel (``models.autoregressive.encode``). This channel is 1
  at every pixel and 0 in the padding, so that the network can tell pixels from padding.
- Between two layers, the caller applies dropout to the output of the vertical stack. After some layers, it may also
  apply attention to this output (``models.attention``).
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
PRE_ACTIVATION = "pre_activation of a layer"  # tells jax.checkpoint what to keep for the backward pass


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
    """Convolves a window of rows, with zero padding on the left and on the right.

    There is no padding at the top, because the window includes the rows above those that are computed.

    Args:
      kernel: Shape [kernel_rows, kernel_columns, features, gates...].
      rows: The window, of shape [batch, rows, width, features].

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

    For each row of the output, the last row of the kernel reads the same row of x, and the other rows of the kernel
    read the rows above it. In the first layer, x is the image shifted down by one row, so the last row of the kernel
    reads the image row above the current one. In all other layers, it reads the features of the current row, which
    depend only on the image rows above.

    Args:
      kernel: Shape [kernel_rows, kernel_columns, features, gates...]. For filters of size n, it has n columns. It has
        floor(n/2) rows in the first layer, and ceil(n/2) rows in the others.
      x: The input at the rows to compute, of shape [batch, rows, width, features].
      memory: The ``kernel_rows - 1`` rows above x.

    Returns:
      The convolution, of shape [batch, rows, width, gates...], and the memory for the rows below x.
    """
    window = jnp.concatenate([memory, x], axis=1)
    return vertical_conv_valid(kernel, window), window[:, x.shape[1] :]


def zero_rows(layer: Params, x: Float[Array, "batch _ width _"]) -> Float[Array, "batch rows width features"]:
    """Builds the memory above the first row of an image: zeros, which pad the vertical convolution at the top.

    Args:
      layer: The parameters of the layer; its vertical kernel determines the number of rows and of features.
      x: Any array with the batch size, width and dtype of the layer's input; its values do not matter.

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
      x: Shape [batch, height, columns, features]. In sampling, these are the ``kernel_columns`` pixels to the left of
        the current one, so the result has one column.

    Returns:
      Shape [batch, height, columns - kernel_columns + 1, gates...].
    """
    return window_product(x, kernel[None])


def horizontal_conv(
    kernel: Float[Array, "kernel_columns features *gates"], x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width *gates"]:
    """Computes the part of the horizontal convolution that reads the pixels to the left of each pixel.

    Args:
      kernel: Shape [kernel_columns, features, gates...]. For filters of size n, it has floor(n/2) columns.
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

    Sampling computes the features of a pixel colour by colour, and collects them with this function.

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
      x: The pre-activation, f followed by g. Its shape is [batch, height, width, 2, features] or, in the forward pass
        on accelerators, [batch, height, width, 2 * features].

    Returns:
      Shape [batch, height, width, features].
    """
    tanh_half, sigmoid_half = (x[..., 0, :], x[..., 1, :]) if x.ndim == 5 else jnp.split(x, 2, axis=-1)
    return jnp.tanh(tanh_half) * jax.nn.sigmoid(sigmoid_half)


def dropout(key: Key[Array, ""] | None, rate: float, x: Features) -> Features:
    """Applies dropout: sets units to zero at random, and scales the others so that the expected value stays the same.

    Args:
      key: PRNG key; None returns x as it is.
      rate: Fraction of units to set to zero, rounded to a positive multiple of 1/256.
      x: Shape [batch, height, width, features].

    Returns:
      The shape of x.
    """
    if key is None:
        return x
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
      key: PRNG key; with None, they change nothing.
      rate: Fraction of units to set to zero.

    Returns:
      The dropout of the horizontal stack, which is the argument ``drop`` of ``horizontal_rows``, and that of the
      vertical stack, which the caller applies to the output ``out`` of ``vertical_layer``.
    """
    horizontal, vertical = (None, None) if key is None else jax.random.split(key)
    return partial(dropout, horizontal, rate), partial(dropout, vertical, rate)


def condition_terms(
    layer: Params, stack: str, condition: Condition, *, precision: jax.lax.Precision | None = None
) -> Float[Array, "#batch #height #width *gates"] | float:
    """Computes what a condition adds to the pre-activations of one stack: V h (equation 4) and V s (equation 5).

    Args:
      layer: The parameters of a layer. The kernels V of h and of s are named after the stack, for example "vertical_h"
        and "vertical_s".
      stack: The first part of these names, such as "vertical" or "horizontal".
      condition: The vector h, the map s, or both. The term V h is the same at every pixel. V s is computed at each
        pixel, from the vector that s has there.
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
      pre_activation: The pre-activation of the vertical stack without the condition: the output of the convolution
        with its bias.
      crossing: The sum of all terms of the horizontal pre-activation that do not depend on the current row of the
        image. These are the output of the 1x1 convolution ``layer["crossing"]``, and the bias and the condition of the
        horizontal stack.
      out: The gated output, which the vertical stack of the next layer reads.
      memory: The memory for the rows below.
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
      x: The input of the vertical stack, of shape [batch, rows, width, features]: the output of the layer before or, in
        the first layer, the image shifted down by one row.
      memory: The rows above x. For the first rows of an image, they come from ``zero_rows``; for later ones, from the
        previous call of the same layer.
      condition: h, and s at the rows that are computed. Unlike x in the first layer, s is not shifted.

    Returns:
      A ``VerticalOutput``, whose ``crossing`` already includes the bias and the condition of the horizontal stack.
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
    """Adds the term of ``pixel`` to the horizontal pre-activation, and computes the rest of the horizontal stack.

    For whole images, this function is called once per layer. In sampling, it is called for one pixel, once per layer
    and colour, and computes only the group of features that belongs to this colour. The groups of the earlier colours
    were computed by earlier calls. What they contribute must therefore be in the arguments:

    - The argument ``out`` is a sum, to which this call adds its part of the 1x1 convolution ``layer["out"]``. It must
      already include the parts of the earlier colours.
    - In all layers but the first, sampling passes only the features of the current colour as x, and this call
      multiplies them by the kernel ``pixel``. The earlier colours have features, too. Their products with ``pixel``
      must already be in ``pre_activation``. In the first layer, sampling passes the pixel of the image as x, with the
      colours drawn so far, and this call multiplies them by the kernel ``pixel``. These products must not be in
      ``pre_activation`` as well, or they would count twice.

    Args:
      layer: The parameters of a layer, of which only ``pixel`` and the kernel of ``out`` are used. In sampling, pass
        the slices of these two kernels that compute the current colour.
      x: The input of the horizontal stack, of shape [batch, height, width, features]: the output of the layer before
        or, in the first layer, the image. In sampling, all layers but the first get only the features of the current
        colour.
      pre_activation: The terms of the pre-activation that this call does not add: those of the vertical stack, of the
        pixels to the left, of the bias and of the condition. In sampling, they also include the products with the
        features of earlier colours, except in the first layer, as described above.
      out: The bias of the 1x1 convolution ``layer["out"]`` and, in sampling, what the gated units of earlier colours
        add to it. This function adds what its own gated units contribute.
      residual: Whether x is added to the output. It is added in all layers but the first.
      drop: The dropout of the gated units, from ``dropouts``. By default, there is none.

    Returns:
      The output of the layer, and its gated units, which sampling needs for the later colours of the pixel.
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
      x: The input of the horizontal stack, of shape [batch, height, width, features]: the output of the layer before
        or, in the first layer, the image.
      crossing: The field ``crossing`` of the ``VerticalOutput`` of this layer.
      residual: Whether x is added to the output. It is added in all layers but the first.
      drop: The dropout of the gated units, from ``dropouts``. By default, there is none.

    Returns:
      The output of the layer, and its gated units.
    """
    before = crossing + horizontal_conv(layer["horizontal"]["left"], x)
    bias = layer["out"]["bias"][None, None, None]
    return horizontal_layer(layer, x, before, bias, residual=residual, drop=drop)
