"""Gated PixelCNN in integers."""

import hashlib
from collections.abc import Mapping

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from pixelcnn_jax.codec import frequencies
from pixelcnn_jax.codec.bounds import check_bounds
from pixelcnn_jax.codec.integer_stream import IntegerStream, as_floats, distribution_of
from pixelcnn_jax.codec.tables import make_tables
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import as_images, with_channels
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.inputs import Condition, HeadOutputs, Images, ImagesLike, LogProbs, Map, Variables, Vector
from pixelcnn_jax.models.parameters import Params, bias, stack


class IntegerPixelCNN(GatedPixelCNN):
    """A Gated PixelCNN that computes in integers, so that every machine gets the same probabilities.

    ``quantise`` makes it from a trained network; it cannot be trained itself. To the parameters of that network it adds
    ``shifts`` (by how many bits each sum is rescaled), ``clips`` (the ranges of the rescaled values) and ``tables`` (of
    the nonlinearities). h must be a class label, one-hot or zero. s is rounded as ``quantise`` determined. Dropout is
    not applied.
    """

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        shapes, pair, width = super().parameter_shapes(condition), (2, self.features), self.head_width

        def layer(name: str) -> Params:
            shifts = {"crossing": pair, "vertical": pair, "horizontal": pair, "out": (self.features,)}
            clips = {"crossing": pair, "residual": (self.features,)}
            if name == "layers":
                shifts, clips = shifts | {"input": ()}, clips | {"input": (self.features,)}
            sizes = _sizes(shifts=shifts, clips=clips)
            return shapes[name] | (stack(sizes, self.layers) if name == "layers" else sizes)

        head = _sizes(
            shifts={"input": (), "hidden": (width,), "logits": (self.channels * self.outputs,)},
            clips={"input": (self.features,), "hidden": (width,)},
        )
        integer_parts = {"first": layer("first"), "layers": layer("layers"), "head": shapes["head"] | head}
        if condition.s is not None:
            integer_parts["condition"] = _sizes(shifts={"s": ()}, clips={"s": (condition.s.shape[-1],)})
        return shapes | integer_parts | _sizes(tables={name: table.shape for name, table in make_tables(self).items()})

    def __call__(
        self, images: Images, h: Vector | None = None, s: Map | None = None, *, deterministic: bool = True
    ) -> Float[Array, "batch height width channels levels"]:
        """Computes the log-frequencies of all levels."""
        distribution, outputs = self.integer_outputs(images, Condition(h, s))
        return distribution.log_frequencies(distribution.read(outputs)) + nan_of(h)[..., None]

    def log_probs(self, images: ImagesLike, condition: Condition, *, deterministic: bool = True) -> LogProbs:
        """Computes log-frequencies of the values, in nats; raises InputError in training (``deterministic=False``)."""
        if not deterministic:
            raise InputError("An integer model cannot be trained: train the network that it was made from.")
        distribution, outputs = self.integer_outputs(images, condition)
        levels = with_channels(images, self.channels)
        _, counts = frequencies.symbol_intervals(distribution, distribution.read(outputs), levels)
        return frequencies.log_of_frequency(counts, distribution.total_bits).sum(axis=-1) + nan_of(condition.h)

    def integer_outputs(self, images: Images, condition: Condition) -> tuple[frequencies.Distribution, HeadOutputs]:
        """Computes the outputs of the head for whole images, and what turns them into frequencies."""
        images = as_images(images, channels=self.channels, levels=self.levels)
        net, stream = as_floats(self, self.parameters(images, *condition)), IntegerStream(self)
        condition = jax.tree.map(lambda x: x.astype("float32"), condition)
        outputs, _ = stream.read_rows(net, stream.first_rows(net, len(images), images.shape[2]), images, condition)
        return distribution_of(self, net["tables"]), outputs

    @property
    def total_bits(self) -> int:
        """The frequencies of all values of a symbol add up to ``2**total_bits``."""
        return (frequencies.IntegerMixture if self.mixture else frequencies.IntegerSoftmax).total_bits

    @nn.nowrap
    def check_given(self, condition: Condition) -> None:
        check_one_hot(condition.h)

    @nn.nowrap
    def check_variables(self, variables: Variables) -> None:
        check_bounds(self, variables)

    @nn.nowrap
    def stream(self) -> IntegerStream:
        return IntegerStream(self)


def _sizes(**groups: Mapping[str, tuple[int, ...]]) -> Params:
    return {group: {name: bias(size) for name, size in sizes.items()} for group, sizes in groups.items()}


def nan_of(h: Array | np.ndarray | None) -> Array | np.ndarray:
    """Returns 0 for each image, or NaN if its traced label is no class, because integer outputs cannot be NaN."""
    return np.zeros((1,) * 4, np.float32) if h is None else 0 * h.sum(axis=-1)[:, None, None, None]


def check_one_hot(h: Array | np.ndarray | None) -> None:
    """Raises InputError unless h is one-hot. Traced values are not checked."""
    if h is not None and not isinstance(h, jax.core.Tracer):
        rows = np.asarray(h)
        if not np.isin(rows, (0, 1)).all() or (rows.sum(axis=-1) > 1).any():
            raise InputError("h must be one-hot: the exactness bound allows at most one non-zero entry per image.")


def digest_of_integers(model: IntegerPixelCNN, params: Params) -> bytes:
    """Computes a digest independent of the dtype."""
    state = hashlib.sha256(f"{model.channels} {model.levels}".encode())
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        state.update(f"{jax.tree_util.keystr(path)} {x.shape}".encode())
        state.update(np.ascontiguousarray(x, "<i4").tobytes())
    return state.digest()[:16]
