"""The Gated PixelCNN with parts left out, for ``ablations.py``."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pixelcnn_jax import register
from pixelcnn_jax.models import layers
from pixelcnn_jax.models.autoregressive import Network, shared_shapes, whole_head
from pixelcnn_jax.models.colours import mask_params
from pixelcnn_jax.models.gated_pixelcnn import layer_shapes
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Params, layers_of, stack


@register
class AblatedPixelCNN(Network):
    """A Gated PixelCNN without one of its parts; takes neither h nor s.

    With the default fields it is the same function of the same parameters. Sampled by ``naive_sample``.

    Attributes:
      gated: tanh times sigmoid (equation 2), else a ReLU of half as many channels.
      two_stacks: vertical and horizontal stack (figure 2); one stack has the blind spot.
      vertical_residual: residual in the vertical stack, not in the paper.
    """

    gated: bool = True
    two_stacks: bool = True
    vertical_residual: bool = False

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        p, n, first = self.features, self.kernel_size, self.first_kernel_size
        gates, gain = ((2, p), 4.0) if self.gated else ((1, p), 2.0)
        rows = n // 2 + int(self.two_stacks)  # a separate vertical stack may read its own row
        shapes = {
            "first": layer_shapes(self.inputs, first // 2, first, gates, gain=gain),
            "layers": layer_shapes(p, rows, n, gates, gain=gain),
        }
        if not self.two_stacks:
            for layer in shapes.values():
                del layer["crossing"]
        return shapes | {"layers": stack(shapes["layers"], self.layers)} | shared_shapes(self)

    @nn.nowrap
    def forward(self, params: Params, inputs: Array, condition: Condition, *, key: Array | None = None) -> Array:
        params = mask_params(self, params)
        unit = layers.gate if self.gated else lambda x: jax.nn.relu(x[..., 0, :])
        vertical, horizontal = layers.shift_down(inputs), inputs
        count = self.layers + 1
        keys = [None] * count if key is None else list(jax.random.split(key, count))
        for number, (layer, key) in enumerate(zip(layers_of(params, self.layers), keys, strict=True)):
            drop, drop_vertical = layers.dropouts(key, self.dropout)
            above = vertical if self.two_stacks or number == 0 else layers.shift_down(horizontal)
            down, _ = layers.vertical_conv(layer["vertical"]["kernel"], above, layers.zero_rows(layer, above))
            down = layers.add_bias(down, layer["vertical"]["bias"])
            crossing = jnp.tensordot(down, layer["crossing"]["kernel"], axes=2) if self.two_stacks else down
            left = layers.horizontal_conv(layer["horizontal"]["left"], horizontal)
            pixel = jnp.tensordot(horizontal, layer["horizontal"]["pixel"], axes=1)
            across = layers.add_bias(crossing, layer["horizontal"]["bias"]) + left + pixel
            out = layers.one_by_one(layer["out"], drop(unit(across)))
            new = drop_vertical(unit(down))
            vertical = vertical + new if self.vertical_residual and number else new
            horizontal = horizontal + out if number else out
        return whole_head(self, params["head"], horizontal)
