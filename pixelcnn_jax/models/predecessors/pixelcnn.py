"""PixelCNN of 1601.06759 (section 3.3, table 1), which has a blind spot."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixelcnn_jax.models.autoregressive import condition_shapes
from pixelcnn_jax.models.colours import ColourMasks, mask_part
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import Dropout, Features, condition_terms, one_by_one, vertical_conv_valid
from pixelcnn_jax.models.parameters import Params, affine
from pixelcnn_jax.models.predecessors import residual
from pixelcnn_jax.models.predecessors.residual_stream import ResidualStream


class PixelCNN(residual.ResidualNetwork):
    """The PixelCNN of van den Oord et al. 2016 (1601.06759): masked convolutions in residual blocks.

    The masks leave a blind spot, which the two stacks of ``GatedPixelCNN`` close. A ``PixelCNN`` is called,
    conditioned, sampled and trained as a ``GatedPixelCNN`` is. In each block, the terms of the conditions h and s are
    added before the ReLU whose output the masked convolution reads.

    Attributes:
      levels: Number of intensity levels of a sub-pixel, 2 to 65,536; images hold the integers 0 to ``levels - 1``.
      channels: Number of channels of a pixel, which are predicted one after the other, 1 for grey and 3 for RGB.
      features: Number of feature maps inside of a block, h in the paper (not the condition). Between blocks there are
        twice as many.
      layers: Number of layers after the first.
      kernel_size: Size n of the filters of the layers, odd and at least 3.
      first_kernel_size: Size of the filters of the first layer, odd and at least 3. That layer excludes the current
        sub-pixel (mask A) and is not counted in ``layers``.
      head_features: Number of channels between the two 1x1 convolutions of the head. None means ``features``.
      dropout: Fraction of units that training sets to zero, from 0 to 0.99. A rate above 0 is rounded to a positive
        multiple of 1/256.
      code_features: Size of a learned embedding of each level, for the codes of a VQ-VAE, whose order means nothing; 0
        reads intensities.
      mixture: Number of discretised logistic distributions whose mixture is the prediction (PixelCNN++, 1701.05517).
        Use it for many levels. 0 predicts a softmax over the levels.
      point_masses: Whether the mixture has two additional point masses, at the lowest and at the highest level, for
        images with plain black or white areas.
      dtype: Type of the operands of matrix products, "float32" (the default), "bfloat16", "float16" or "float64".
        Logits are float32 at least. Without ``code_features``, a network can distinguish about 513 levels in
        bfloat16, and 4,097 in float16.
      remat: Whether the backward pass recomputes the layers, for less memory and more time.

    Example:
      >>> import jax
      >>> from pixelcnn_jax import PixelCNN, log_prob
      >>> images = jax.random.randint(jax.random.key(0), (2, 8, 8, 1), 0, 4)
      >>> model = PixelCNN(levels=4, features=8, layers=2)
      >>> variables = model.init(jax.random.key(1), images)
      >>> model.apply(variables, images).shape
      (2, 8, 8, 1, 4)
      >>> log_prob(model, variables, images).shape
      (2,)
    """

    @nn.nowrap
    def layer_shapes(self, condition: Condition) -> Params:
        features, maps = self.features, self.residual_features
        return {
            "down": affine((maps,), (features,), gain=2.0),
            "masked": residual.convolution_shapes(self.kernel_size, features, features, gain=2.0),
            "up": affine((features,), (maps,)),
            **condition_shapes(condition, (features,), "masked"),
        }

    @nn.nowrap
    def masked_layer(self, layer: Params, masks: ColourMasks) -> Params:
        return layer | {
            "down": mask_part(layer["down"], masks.down),
            "masked": residual.split_taps(layer["masked"], masks.inner),
            "up": mask_part(layer["up"], masks.up),
        }

    @nn.nowrap
    def block(self, layer: Params, x: Array, condition: Condition, drop: Dropout) -> Array:
        """ReLU, 1x1, ReLU, n x n, ReLU, 1x1 (1601.06759, figure 5, left)."""
        read = before_convolution(layer, x, condition_terms(layer, "masked", condition))
        return one_by_one(layer["up"], jax.nn.relu(drop(residual.masked_convolution(layer["masked"], read))))

    @nn.nowrap
    def stream(self) -> ResidualStream:
        return PixelCNNStream(self)


def before_convolution(layer: Params, x: Features, terms: Float[Array, "..."] | float) -> Features:
    """Computes the inputs of the n x n convolution; ``terms`` are V h + V s."""
    return jax.nn.relu(one_by_one(layer["down"], jax.nn.relu(x)) + terms)


class PixelCNNStream(ResidualStream):
    """The ``Stream`` of a PixelCNN, which caches rows."""

    def taps_left(self, layer: Params) -> Array:
        return layer["masked"]["left"]

    def border(self, layer: Params, batch: int, width: int) -> Array:
        reach, _, inputs, _ = layer["masked"]["above"].shape
        return jnp.zeros((batch, reach, width, inputs), self.model.dtype)

    def context_from_above(self, layer: Params, memory: Array, condition: Condition) -> tuple[Array, Array]:
        taps = vertical_conv_valid(layer["masked"]["above"], memory)
        return taps, jnp.zeros_like(taps) + condition_terms(layer, "masked", condition)

    def read(self, layer: Params, x: Array, above: tuple[Array, Array]) -> Array:
        return before_convolution(layer, x, above[1])

    def block(self, layer: Params, read: Array, above: tuple[Array, Array], left: Array) -> tuple[Array, Array]:
        return one_by_one(layer["up"], jax.nn.relu(residual.convolve(layer["masked"], read, above[0] + left))), read

    def remember(self, memory: Array, new: Array) -> Array:
        return jnp.concatenate([memory, new], axis=1)[:, 1:]
