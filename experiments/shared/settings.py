"""Config fields of several experiments."""

from dataclasses import dataclass

from pixelcnn_jax.foundation.fields import field


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An encoder from an image to a vector."""

    encoder_features: tuple[int, ...] = field((32, 64, 128), "feature maps of each stage of the encoder", least=1)
    bottleneck: int = field(10, "length of the encoder's vector", least=1)


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """A vector as the condition, by the biases or by a map."""

    map_features: int = field(0, "feature maps of s = m(h) (equation 5); 0 adds V h to the biases", least=0)


@dataclass(frozen=True, kw_only=True)
class Classified:
    """A classifier of samples."""

    classifier: str | None = field(None, "workdir of a classifier that measures the class accuracy of samples")
