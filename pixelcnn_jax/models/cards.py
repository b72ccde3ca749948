"""The cards of trained models: JSON that says what a model is, checked here because it may be made up."""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field, read_group
from pixelcnn_jax.foundation.files import read_json
from pixelcnn_jax.models.inputs import ImageSpec

FORMAT = 1
MAX_SUBPIXELS = 2**20  # of an image
MAX_BYTES = 2**24  # of a card
# The densities of images that a "density" may name, by the part of a batch that holds what they are given.
DENSITIES = {"p(x)": None, "p(x|y)": "label", "p(x|examples)": "examples", "p(x|caption)": "caption"}


def drawn_by_class(card: Mapping[str, Any]) -> bool:
    """Whether a model draws images from nothing or from a class label."""
    return card.get("density") in [density for density, part in DENSITIES.items() if part in (None, "label")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardFields:
    """The fields of a card that the package reads; a card may hold more."""

    networks: Mapping[str, Any] = field(None, "the networks as ``describe`` writes them")
    sha256: str = field(None, "digest of the weights")
    image_spec: Mapping[str, Any] = field(None, "the images")
    config: Mapping[str, Any] | None = field(None, "the config of the run")
    experiment: str = field("", "the experiment of the run")
    density: str = field("p(x)", "the density that was learned")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecFields:
    """The fields of an ``ImageSpec`` in a card."""

    height: int = field(None, "rows", least=1)
    width: int = field(None, "columns", least=1)
    channels: int = field(None, "channels", least=1)
    levels: int = field(None, "values of a sub-pixel", least=2, most=2**16)
    classes: int | None = field(None, "number of class labels", least=1, most=2**20)
    words: tuple[str, ...] | None = field(None, "vocabulary of captions")
    class_names: tuple[str, ...] | None = field(None, "names of the classes")


def read_card_file(path: Path) -> dict[str, Any]:
    """Returns a card, in which ``image_spec`` is an ``ImageSpec`` and ``config`` a dict.

    Raises:
      InputError: for a file that is damaged, was edited since it was written, or has a different format.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{path} is no card: it has {size:,} bytes, and a card at most {MAX_BYTES:,}.")
    try:
        card = read_json(path)
    except (ValueError, TypeError, RecursionError):
        raise InputError(
            f"{path} is not the card of a model, or was changed since it was written: fetch the file again, or remove "
            "its checksum if the change is yours."
        ) from None
    if (version := card.get("format")) != FORMAT:
        raise InputError(
            f"{path} must be a card of format {FORMAT}, got format {version!r:.20}: train or fetch the model again."
        )
    known = {one.name for one in dataclasses.fields(CardFields)}
    fields = read_group(CardFields, {name: x for name, x in card.items() if name in known}, name=str(path))
    spec = read_group(SpecFields, fields.image_spec, name=f"image_spec of {path}")
    if not re.fullmatch("[0-9a-f]{64}", fields.sha256):
        raise InputError(f"{path} must name the SHA-256 of the weights, got {fields.sha256!r:.70}.")
    for group, values in (fields.config or {}).items():
        if isinstance(values, Mapping) is (group in ("experiment", "seed")):
            raise InputError(f"config.{group} of {path} is damaged: fetch the file again.")
    if math.prod((spec.height, spec.width, spec.channels)) > MAX_SUBPIXELS:
        raise InputError(f"image_spec of {path} must have at most {MAX_SUBPIXELS:,} sub-pixels.")
    read = {"config": fields.config or {}, "density": fields.density, "experiment": fields.experiment}
    return card | read | {"image_spec": ImageSpec(**dataclasses.asdict(spec))}
