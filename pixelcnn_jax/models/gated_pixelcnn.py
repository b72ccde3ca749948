"""Gated PixelCNN (1606.05328, sections 2.2 to 2.4): parameters and forward pass."""

from functools import partial
from operator import itemgetter
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pixelcnn_jax.distributions import accumulation_dtype, add_linear_prediction, differences, intensities, neighbours
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.attention import attend, attention_shapes, no_rows
from pixelcnn_jax.models.autoregressive import Network, condition_shapes, shared_shapes, whole_head
from pixelcnn_jax.models.checks import with_channels
from pixelcnn_jax.models.colours import mask_params
from pixelcnn_jax.models.gated_stream import GatedStream
from pixelcnn_jax.models.inputs import Condition, HeadOutputs, ImagesLike
from pixelcnn_jax.models.layers import PRE_ACTIVATION, dropouts, horizontal_rows, shift_down, vertical_layer, zero_rows
from pixelcnn_jax.models.parameters import Kernel, Params, affine, stack

Stacks = tuple[Array, Array]  # features of the vertical and of the horizontal stack (Figure 2)


class GatedPixelCNN(Network):
    """The conditional Gated PixelCNN of van den Oord et al. 2016 (1606.05328): p(x), or p(x | h, s).

    The network has two stacks of layers: the vertical stack sees the rows above a pixel, and the horizontal stack sees
    the earlier pixels of its row (figure 2). Both have gated activation units tanh(f) * sigmoid(g), where f and g are
    computed by convolutions. A linear function of the condition is added to f and to g. A vector h, for example a
    one-hot class label, acts alike at every pixel (equation 4). A map s has a vector for each pixel, from which the
    layers compute what they add at this pixel (equation 5).

    This is a Linen module: ``model.init(key, images, h, s)`` draws its variables, and ``model.apply(variables, images,
    h, s)`` computes the logits of every sub-pixel (one channel of one pixel) given all earlier ones. If the model reads
    no h or no s, leave it out in both calls, or pass None.

    Attributes:
      levels: Number of intensity levels of a sub-pixel, 2 to 65,536; images hold the integers 0 to ``levels - 1``.
      channels: Number of channels of a pixel, which are predicted one after the other, 1 for grey and 3 for RGB.
      features: Number p of feature maps of each stack.
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
      attention: 0, the default, is the network of the paper, which has no attention. A number k above 0, less than
        ``layers``, adds an attention to the vertical stack after every k-th layer, but never after the last layer of
        the network: with ``layers=8`` and k = 3, after layers 3 and 6. Attention widens the context beyond the filters
        (``models.attention``): each pixel reads the vertical features of all pixels in its row and in the 31 rows
        above. This is causal, because the vertical features of a row depend only on the rows above it.
      linear_prediction: Whether the logistics of a mixture are centred on a linear prediction from the neighbouring
        pixels and earlier channels, with coefficients that the network computes. It helps with photographs. ``sample``
        computes such a model in float32 at least.

    Example:
      >>> import jax
      >>> from pixelcnn_jax import GatedPixelCNN, log_prob
      >>> images = jax.random.randint(jax.random.key(0), (2, 8, 8, 1), 0, 4)
      >>> model = GatedPixelCNN(levels=4, features=8, layers=2)
      >>> variables = model.init(jax.random.key(1), images)
      >>> model.apply(variables, images).shape
      (2, 8, 8, 1, 4)
      >>> log_prob(model, variables, images).shape
      (2,)
    """

    linear_prediction: bool = False
    attention: int = 0

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        n, first, pair = self.kernel_size, self.first_kernel_size, (2, self.features)
        condition_kernels = condition_shapes(condition, pair, "vertical", "horizontal")
        count = len(self.attentions)
        return {
            "first": layer_shapes(self.inputs, first // 2, first, pair) | condition_kernels,
            "layers": stack(layer_shapes(self.features, n // 2 + 1, n, pair) | condition_kernels, self.layers),
            **({"attention": stack(attention_shapes(self.features), count)} if count else {}),
            **shared_shapes(self),
        }

    @nn.nowrap
    def forward(self, params: Params, inputs: Array, condition: Condition, *, key: Array | None = None) -> Array:
        params = mask_params(self, params)
        layers = {name: params[name] for name in ("first", "layers")}
        keys = None if key is None else jax.random.split(key, self.layers + 1)

        def gated_layer(first: bool, condition: Condition, stacks: Stacks, layer: Params, key: Array | None) -> Stacks:
            vertical, horizontal = stacks
            drop, drop_vertical = dropouts(key, self.dropout)
            above = vertical_layer(layer, vertical, zero_rows(layer, vertical), condition)
            out, _ = horizontal_rows(layer, horizontal, above.crossing, residual=not first, drop=drop)
            return drop_vertical(above.out), out

        # Unrolled on CPU, where a loop would copy what the backward pass needs into one array and out of it.
        # Accelerators take minutes to compile unrolled layers; their loop saves only the arguments of the gates.
        def all_layers(
            inputs: Array, condition: Condition, layers: Params, attentions: Params, keys: Array | None, *, on_cpu: bool
        ) -> Array:
            saved = None if self.remat else jax.checkpoint_policies.save_only_these_names(PRE_ACTIVATION)
            again = partial(jax.checkpoint, static_argnums=0, policy=saved, prevent_cse=on_cpu)
            one_layer = gated_layer if on_cpu and not self.remat else again(gated_layer)
            read = jax.checkpoint(attend) if self.remat else attend
            layers = layers if on_cpu else {name: merge_gates(layer) for name, layer in layers.items()}
            first_key, keys = (None, None) if keys is None else (keys[0], keys[1:])
            stacks = one_layer(True, condition, (shift_down(inputs), inputs), layers["first"], first_key)
            # Split, because the gradient of a split is one concatenation; that of slices pads and adds whole stacks.
            leaves, tree = jax.tree.flatten((layers["layers"], keys))
            parts = zip(*(jnp.split(leaf, [*self.attentions]) for leaf in leaves), strict=True)
            for number, part in enumerate(map(partial(jax.tree.unflatten, tree), parts)):
                stacks, _ = jax.lax.scan(
                    lambda x, layer: (one_layer(False, condition, x, *layer), None), stacks, part, unroll=on_cpu
                )
                if number < len(self.attentions):
                    vertical, _ = read(jax.tree.map(itemgetter(number), attentions), stacks[0], no_rows(stacks[0]))
                    stacks = vertical, stacks[1]
            return stacks[1]

        on_cpu, elsewhere = partial(all_layers, on_cpu=True), partial(all_layers, on_cpu=False)
        arguments = inputs, condition, layers, params.get("attention", {}), keys
        features = jax.lax.platform_dependent(*arguments, cpu=on_cpu, default=elsewhere)
        return whole_head(self, params["head"], features)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.linear_prediction and not self.mixture:
            raise InputError("linear_prediction must be False without a mixture, whose means it shifts.")
        if self.attention and not 0 < self.attention < self.layers:
            raise InputError(f"attention must be less than layers, {self.layers}, and 0 or more, got {self.attention}.")

    def head_outputs(self, images: ImagesLike, condition: Condition, *, deterministic: bool) -> HeadOutputs:
        outputs = super().head_outputs(images, condition, deterministic=deterministic)
        if not self.linear_prediction:
            return outputs
        x = intensities(with_channels(images, self.channels), self.levels, outputs.dtype)
        return add_linear_prediction(outputs, differences(x, neighbours(x)), components=self.mixture)

    @property
    def attentions(self) -> range:
        """Numbers of the layers after which there is an attention, counted from 1; the last layer is never one."""
        return range(self.attention, self.layers, self.attention) if self.attention else range(0)

    @property
    def outputs(self) -> int:
        return super().outputs + self.linear_prediction * self.mixture * (self.channels + 1)

    @nn.nowrap
    def stream(self) -> Any:
        exact = accumulation_dtype(self.dtype)  # half precision would round the neighbours, and so the prediction
        return GatedStream(self.clone(dtype=exact) if self.linear_prediction else self)


def layer_shapes(inputs: int, rows: int, columns: int, gates: tuple[int, int], *, gain: float = 4.0) -> Params:
    """Declares the parameters of a layer, except those that read h and s."""
    return {
        "vertical": affine((rows, columns, inputs), gates, gain=gain),
        "crossing": {"kernel": Kernel(gates, gates)},
        "horizontal": affine((columns // 2 + 1, inputs), gates, gain=gain),
        "out": affine(gates[1:], gates[1:]),
    }


def merge_gates(layer: Params) -> Params:
    """Merges the axes of the gate pair and of the features into one axis, which is faster on accelerators."""
    kernel = layer["crossing"]["kernel"]
    pairs = {name: part for name, part in layer.items() if name not in ("crossing", "out")}
    return jax.tree.map(lambda x: x.reshape(*x.shape[:-2], -1), pairs) | {
        "crossing": {"kernel": kernel.reshape(*kernel.shape[:-4], 2 * kernel.shape[-1], -1)},
        "out": layer["out"],
    }
