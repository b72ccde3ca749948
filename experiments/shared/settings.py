"""Config fields shared by experiments."""

from dataclasses import dataclass

from pixelcnn_jax.foundation.fields import field


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An image encoder."""

    encoder_features: tuple[int, ...] = field((32, 64, 128), "hidden channels per stage of the encoder", min=1)
    bottleneck: int = field(10, "length of h", min=1)


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """A condition h, by the biases or by a map."""

    map_features: int = field(0, "channels of s = m(h) (equation 5), 0: V h", min=0)


@dataclass(frozen=True, kw_only=True)
class Classified:
    """A classifier of samples."""

    classifier: str | None = field(None, "workdir of a classifier for the class accuracy of samples")
