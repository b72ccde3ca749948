"""Gated PixelCNN (1606.05328, sections 2.2 to 2.4): parameters and forward pass."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from pixelcnn_jax.distributions import accumulation_dtype, differences, intensities, neighbours, predicted
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.autoregressive import Network, condition_shapes, shared_shapes, whole_head
from pixelcnn_jax.models.colours import mask_params
from pixelcnn_jax.models.gated_stream import GatedStream
from pixelcnn_jax.models.inputs import Condition, ImagesLike, with_channels
from pixelcnn_jax.models.layers import PRE_ACTIVATION, dropouts, horizontal_rows, shift_down, vertical_layer, zero_rows
from pixelcnn_jax.models.parameters import Kernel, Params, affine, stack

Stacks = tuple[Array, Array]  # features of the vertical and of the horizontal stack (Figure 2)


class GatedPixelCNN(Network):
    """Conditional Gated PixelCNN (1606.05328); h and s enter both stacks of a layer.

    Attributes:
      linear_prediction: centre the mixture on a linear prediction from neighbours and channels; sampled in float32.
    """

    linear_prediction: bool = False

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        n, first, pair = self.kernel_size, self.first_kernel_size, (2, self.features)
        condition_kernels = condition_shapes(condition, pair, "vertical", "horizontal")
        return {
            "first": layer_shapes(self.inputs, first // 2, first, pair) | condition_kernels,
            "layers": stack(layer_shapes(self.features, n // 2 + 1, n, pair) | condition_kernels, self.layers),
            **shared_shapes(self),
        }

    @nn.nowrap
    def forward(
        self, params: Params, inputs: Array, condition: Condition, *, dropout_key: Array | None = None
    ) -> Array:
        params = mask_params(self, params)
        layers = {name: params[name] for name in ("first", "layers")}
        keys = None if dropout_key is None else jax.random.split(dropout_key, self.layers + 1)

        def gated_layer(first: bool, condition: Condition, stacks: Stacks, layer: Params, key: Array | None) -> Stacks:
            vertical, horizontal = stacks
            drop, drop_vertical = dropouts(key, self.dropout)
            above = vertical_layer(layer, vertical, zero_rows(layer, vertical), condition)
            out, _ = horizontal_rows(layer, horizontal, above.crossing, residual=not first, drop=drop)
            return drop_vertical(above.out), out

        # Unrolled on CPU, where a loop would copy residuals in and out of a stack. Accelerators take minutes to compile
        # unrolled layers; their loop saves only the sums and recomputes the gates.
        def all_layers(
            inputs: Array, condition: Condition, layers: Params, keys: Array | None, *, on_cpu: bool
        ) -> Array:
            saved = None if self.remat else jax.checkpoint_policies.save_only_these_names(PRE_ACTIVATION)
            again = partial(jax.checkpoint, static_argnums=0, policy=saved, prevent_cse=on_cpu)
            one_layer = gated_layer if on_cpu and not self.remat else again(gated_layer)
            layers = layers if on_cpu else {name: merge_gates(layer) for name, layer in layers.items()}
            first_key, keys = (None, None) if keys is None else (keys[0], keys[1:])
            stacks = one_layer(True, condition, (shift_down(inputs), inputs), layers["first"], first_key)
            stacks, _ = jax.lax.scan(
                lambda stacks, layer: (one_layer(False, condition, stacks, *layer), None),
                stacks,
                (layers["layers"], keys),
                unroll=on_cpu,
            )
            return stacks[1]

        on_cpu, elsewhere = partial(all_layers, on_cpu=True), partial(all_layers, on_cpu=False)
        arguments = inputs, condition, layers, keys
        features = jax.lax.platform_dependent(*arguments, cpu=on_cpu, default=elsewhere)
        return whole_head(self, params["head"], features)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.linear_prediction and not self.mixture:
            raise InputError("linear_prediction must be False without a mixture, whose means it shifts.")

    def head_outputs(
        self, images: ImagesLike, condition: Condition, *, deterministic: bool
    ) -> Float[Array, "batch height width channels outputs"]:
        outputs = super().head_outputs(images, condition, deterministic=deterministic)
        if not self.linear_prediction:
            return outputs
        x = intensities(with_channels(images, self.channels), self.levels, outputs.dtype)
        return predicted(outputs, differences(x, neighbours(x)), components=self.mixture)

    @property
    def outputs(self) -> int:
        return super().outputs + self.linear_prediction * self.mixture * (self.channels + 1)

    @nn.nowrap
    def stream(self) -> Any:
        exact = accumulation_dtype(self.dtype)  # half precision would round the neighbours, and so the prediction
        return GatedStream(self.clone(dtype=exact) if self.linear_prediction else self)


def layer_shapes(inputs: int, rows: int, columns: int, gates: tuple[int, int], *, gain: float = 4.0) -> Params:
    """Declares a layer without h and s."""
    return {
        "vertical": affine((rows, columns, inputs), gates, gain=gain),
        "crossing": {"kernel": Kernel(gates, gates)},
        "horizontal": affine((columns // 2 + 1, inputs), gates, gain=gain),
        "out": affine(gates[1:], gates[1:]),
    }


def merge_gates(layer: Params) -> Params:
    """Merges each gate pair and its features into one axis: faster on accelerators."""
    kernel = layer["crossing"]["kernel"]
    pairs = {name: part for name, part in layer.items() if name not in ("crossing", "out")}
    return jax.tree.map(lambda x: x.reshape(*x.shape[:-2], -1), pairs) | {
        "crossing": {"kernel": kernel.reshape(*kernel.shape[:-4], 2 * kernel.shape[-1], -1)},
        "out": layer["out"],
    }
