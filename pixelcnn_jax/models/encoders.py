"""The networks around a PixelCNN: what turns an image into a vector h, and a vector h into an image or a map s.

None of them is autoregressive, so nothing in them is masked.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.inputs import Images, Vector
from pixelcnn_jax.models.layers import add_bias, window_product


class Convolution(nn.Module):
    """A 3x3 convolution, zeros around; by ``layers.window_product``, for speed on CPU.

    Attributes:
      features: feature maps.
      stride: how many rows and columns each output is from the next.
    """

    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width inputs"]) -> Float[Array, "batch rows columns features"]:
        """Maps of maps."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        window = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return add_bias(window_product(window, kernel, stride=self.stride), bias)


class Enlargement(nn.Module):
    """A transposed convolution to twice the height and width, each input giving 2x2 outputs (Shi et al. 2016).

    Attributes:
      features: feature maps.
    """

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width inputs"]) -> Float[Array, "batch rows columns features"]:
        """Maps of maps."""
        batch, height, width, _ = x.shape
        blocks = Convolution(4 * self.features)(x).reshape(batch, height, width, 2, 2, self.features)
        return jnp.moveaxis(blocks, 3, 2).reshape(batch, 2 * height, 2 * width, self.features)


class Encoder(nn.Module):
    """Convolutional encoder: image to vector, section 2.4's encoder, an embedding network's trunk, a classifier.

    Each stage halves the map and convolves it once more; what is left of it is read by one matrix.

    Attributes:
      outputs: numbers in the vector.
      levels: values of a sub-pixel.
      features: feature maps of each stage.
    """

    outputs: int
    levels: int
    features: tuple[int, ...] = (32, 64, 128)

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "batch outputs"]:
        """Vectors of images [batch, height, width, channels] of integers."""
        x = jnp.asarray(images, jnp.float32) * (2 / (self.levels - 1)) - 1
        for features in self.features:
            for stride in (2, 1):
                x = Convolution(features, stride)(x)
                x = nn.silu(nn.GroupNorm(math.gcd(8, features))(x))
        return nn.Dense(self.outputs)(x.reshape(len(x), -1))


class Deconvolution(nn.Module):
    """Deconvolutional network: vector to map, the m of s = m(h) (equation 5), or the decoder that section 3.4 compares.

    Attributes:
      shape: height, width and features of the map, of any size.
      features: feature maps of each stage; each doubles the map.
    """

    shape: tuple[int, int, int]
    features: tuple[int, ...] = (64, 32)

    @nn.compact
    def __call__(self, h: Vector) -> Float[Array, "batch height width outputs"]:
        """Maps [batch, height, width, features] of vectors [batch, condition]."""
        height, width, outputs = self.shape
        scale = 2 ** len(self.features)
        rows, columns = -(-height // scale), -(-width // scale)
        x = nn.Dense(rows * columns * self.features[0])(h).reshape(-1, rows, columns, self.features[0])
        for features in self.features:
            x = Enlargement(features)(nn.silu(x))
        return Convolution(outputs)(nn.silu(x))[:, :height, :width]


class Upsampling(nn.Module):
    """Convolutional network from a small image to a map s of twice its size, for a multi-scale model (1601.06759).

    Attributes:
      outputs: feature maps of s.
      levels: values of a sub-pixel.
      layers: convolutions of the small image before it is enlarged.
    """

    outputs: int
    levels: int
    layers: int = 3

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "batch twice_height twice_width outputs"]:
        """Maps of images [batch, height, width, channels] of integers."""
        x = images.astype(jnp.float32) * (2 / (self.levels - 1)) - 1
        x = jnp.pad(
            jnp.asarray(x), ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1
        )  # tells the image from what is beside it
        for _ in range(self.layers):
            x = nn.silu(Convolution(self.outputs)(x))
        return Enlargement(self.outputs)(x)


def on_unit_sphere(x: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
    """Vectors of length one."""
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=1, keepdims=True) + 1e-12)


def squared_distances(
    a: Float[Array, "first features"], b: Float[Array, "second features"]
) -> Float[Array, "first second"]:
    """Between all pairs of vectors on the unit sphere, 0 to 4."""
    return 2 - 2 * a @ b.T


def between(
    a: Float[Array, " features"], b: Float[Array, " features"], share: Float[Array, ""]
) -> Float[Array, " features"]:
    """The point on the great circle from a to b, on the unit sphere, a ``share`` of the way."""
    angle = jnp.arccos(jnp.clip(jnp.sum(a * b), -1 + 1e-6, 1 - 1e-6))
    return (jnp.sin((1 - share) * angle) * a + jnp.sin(share * angle) * b) / jnp.sin(angle)


def triplet_loss(
    embeddings: Float[Array, "batch features"],
    labels: Int[Array, " batch"],
    *,
    copies: Bool[Array, "batch batch"] | None = None,
    margin: float = 0.2,
) -> Float[Array, " batch"]:
    """FaceNet's loss of each image as the anchor, mean over its positives: |a - p|^2 - |a - n|^2 + margin, or zero.

    The positives are the other images of its class in the batch. The negative is semi-hard: the nearest that is farther
    than the positive, or, where there is none, the farthest. ``copies`` says which two are the same image, and no pair.
    An image without a positive or without a negative has no loss.
    """
    distance = jnp.maximum(squared_distances(embeddings, embeddings), 0)
    same = labels[:, None] == labels[None]
    positive = same & ~(jnp.eye(len(labels), dtype=bool) if copies is None else copies)
    positive = positive & jnp.any(~same, axis=1, keepdims=True)
    farther = ~same[:, None, :] & (distance[:, None, :] > distance[:, :, None])
    nearest_farther = jnp.min(jnp.where(farther, distance[:, None, :], jnp.inf), axis=2)
    farthest = jnp.max(jnp.where(same, 0.0, distance), axis=1, keepdims=True)
    negative = jnp.where(jnp.isfinite(nearest_farther), nearest_farther, farthest)
    losses = jnp.maximum(distance - negative + margin, 0) * positive
    return jnp.sum(losses, axis=1) / jnp.maximum(jnp.sum(positive, axis=1), 1)


class Verification(NamedTuple):
    """How well distances tell whether two images are of one identity (FaceNet, section 4).

    Attributes:
      auc: area under the curve of true accepts over false accepts; 0.5 is chance, 1 perfect.
      eer: the rate at which false accepts and false rejects are equal.
      rate: true accepts where one false pair in a hundred is accepted.
    """

    auc: float
    eer: float
    rate: float


def verification(
    embeddings: Float[np.ndarray, "count features"], labels: Int[np.ndarray, " count"], *, far: float = 1e-2
) -> Verification:
    """Of all pairs of images. Raises InputError unless some pairs are of one identity, and some of two."""
    from sklearn.metrics import auc, roc_curve

    first, second = np.triu_indices(len(labels), 1)
    same = labels[first] == labels[second]
    if same.all() or not same.any():
        raise InputError("To verify identities, images of several are needed, and several images of some.")
    closeness = (embeddings @ embeddings.T)[first, second]
    false_accepts, true_accepts, _ = roc_curve(same, closeness)
    # False accepts less false rejects rise from -1 to 1 along the curve; equal they are where that crosses zero.
    excess = false_accepts - (1 - true_accepts)
    return Verification(
        auc=float(auc(false_accepts, true_accepts)),
        eer=float(np.interp(0, excess, false_accepts)),
        rate=float(np.interp(far, false_accepts, true_accepts)),
    )
