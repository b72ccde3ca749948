"""Untrusted image names in compressed files, bounded before parsing."""

import dataclasses
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field, read_section

MAX_COUNT = 2**16  # images in one part
MAX_LENGTH = 1000  # characters of a name
MAX_TEXT = 2**24  # bytes of the names of one part
MAX_DEPTH = 16  # folders and the file
PART = re.compile(r'[^/\\:*?"<>|\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}')
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # device names of Windows


@dataclasses.dataclass(frozen=True)
class Names:
    """Image names of one part."""

    part: int = field(None, "which part it is")
    parts: int = field(None, "number of parts")
    names: tuple[str, ...] = field(None, "name of each image")


def check_names(names: Iterable[Any]) -> None:
    """Raises InputError unless names are distinct, portable paths of PNGs or arrays."""
    counts = Counter(names)
    for name, count in counts.items():
        if count > 1 or not is_safe(name) or any(str(folder) in counts for folder in PurePosixPath(name).parents):
            raise InputError(f"The file name {name:.100} is unsafe or not unique: rename it, or use a file at a time.")


def is_safe(name: str) -> bool:
    """Whether a name is a relative, portable path of a PNG or an array."""
    parts = name.split("/") if len(name) <= MAX_LENGTH else []
    return (
        0 < len(parts) <= MAX_DEPTH
        and name.endswith((".png", ".npy"))
        and all(PART.fullmatch(part) and part[-1] not in ". " and not RESERVED.fullmatch(part) for part in parts)
    )


def pack_names(names: list[str], *, part: int, parts: int) -> bytes:
    """Serialises the names of a part."""
    text = json.dumps({"part": part, "parts": parts, "names": names}, ensure_ascii=False).encode()
    if len(names) > MAX_COUNT or len(text) > MAX_TEXT:
        raise InputError(f"{len(names):,} images of one size, with these names, are too many for a file: use several.")
    return zlib.compress(text, 9)


def unpack_names(content: bytes, count: int) -> Names:
    """Parses the names of ``count`` images.

    Raises:
      InputError: if unreadable, or not one safe name per image.
    """
    most = min(MAX_TEXT, 100 + count * (4 * MAX_LENGTH + 4)) if count <= MAX_COUNT else 1
    try:
        parsed = read_section(Names, dict(json.loads(zlib.decompressobj().decompress(content, most))), name="names")
    except (zlib.error, ValueError, TypeError, RecursionError):
        parsed = Names()
    if len(parsed.names or ()) != count:
        raise InputError("it does not contain one name for each image")
    check_names(parsed.names)
    return parsed
