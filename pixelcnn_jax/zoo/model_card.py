"""Cards of trained models: JSON metadata, validated as untrusted input."""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field, read_section
from pixelcnn_jax.foundation.files import read_json
from pixelcnn_jax.models.inputs import ImageSpec

FORMAT = 1
MAX_SUBPIXELS = 2**22  # per image
MAX_BYTES = 2**24  # per card
# The densities that the commands know.
UNCONDITIONAL, GIVEN_LABEL, GIVEN_EXAMPLES, GIVEN_CAPTION = "p(x)", "p(x|y)", "p(x|examples)", "p(x|caption)"
# The key of a batch that holds the condition of each.
CONDITION_KEYS = {UNCONDITIONAL: None, GIVEN_LABEL: "label", GIVEN_EXAMPLES: "examples", GIVEN_CAPTION: "caption"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardFields:
    """Fields of a card that the package reads; others are kept."""

    networks: Mapping[str, Any] = field(None, "networks, from ``describe``")
    sha256: str = field(None, "SHA-256 of the weights")
    image_spec: Mapping[str, Any] = field(None, "image format")
    config: Mapping[str, Any] | None = field(None, "config of the run")
    experiment: str = field("", "experiment of the run")
    density: str = field(UNCONDITIONAL, "learned density")
    guidance: bool = field(True, "whether conditions may have been dropped in training")
    views: tuple[int, ...] | None = field(None, "transformations that h names, as indices of data.views.views")


def read_card_file(path: Path) -> dict[str, Any]:
    """Reads a card, with ``image_spec`` as an ``ImageSpec``.

    Raises:
      InputError: the card is damaged, edited or of a different format.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{path} is not a model card: it has {size:,} bytes, but a card has at most {MAX_BYTES:,}.")
    try:
        card = read_json(path)
    except (ValueError, TypeError, RecursionError):
        raise InputError(
            f"{path} is not the card of a model, or was changed since it was written: fetch the file again, or remove "
            "its checksum if the change is yours."
        ) from None
    return checked(card, path)


def checked(card: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Checks a card that was read or is to be written, and returns it as ``read_card_file`` does."""
    if (version := card.get("format")) != FORMAT:
        raise InputError(f"{path} must be of format {FORMAT}, got {version!r:.20}: train or fetch the model again.")
    names = {attribute.name for attribute in dataclasses.fields(CardFields)}
    fields = read_section(CardFields, {name: x for name, x in card.items() if name in names}, name=str(path))
    spec = read_section(ImageSpec, fields.image_spec, name=f"image_spec of {path}")
    if not re.fullmatch("[0-9a-f]{64}", fields.sha256):
        raise InputError(f"{path} must name the SHA-256 of the weights, got {fields.sha256!r:.70}.")
    for group, values in (fields.config or {}).items():
        if isinstance(values, Mapping) is (group in ("experiment", "seed")):
            raise InputError(f"config.{group} of {path} must be as in the config of a run, got {values!r:.70}.")
    if math.prod(spec.shape) > MAX_SUBPIXELS:
        raise InputError(f"image_spec of {path} must have at most {MAX_SUBPIXELS:,} sub-pixels.")
    return {**card, **vars(fields), "config": fields.config or {}, "image_spec": spec}
