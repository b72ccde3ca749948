"""Atomic file writes, and JSON with a checksum."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def atomic_write(path: Path | str, content: str | bytes) -> None:
    """Writes a file atomically, synced to disk.

    Raises:
      OSError: if it cannot be written; it names the file, of which an older version stays.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        error.filename = str(path)  # not the part, and an error such as that of a full disk names no file
        raise
    finally:
        with suppress(OSError):
            part.unlink()


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Writes JSON with a checksum."""
    facts = {**facts, "checksum": checksum(facts)}
    atomic_write(path, json.dumps(facts, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Reads JSON of ``write_json``; a checksum is optional.

    Raises:
      OSError, ValueError, TypeError, RecursionError: if unreadable or damaged.
    """
    facts = dict(json.loads(path.read_text()))
    if facts.get("checksum") not in (None, checksum(facts)):
        raise ValueError("Checksum mismatch.")
    return facts


def try_read_json(path: Path) -> dict[str, Any]:
    """Reads JSON of ``write_json``; {} if missing or damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def checksum(facts: Mapping[str, Any]) -> str:
    """Computes the SHA-256 of facts as JSON, without "checksum"."""
    rest = json.loads(json.dumps(dict(facts)))  # its keys are strings, which sort otherwise than numbers
    rest.pop("checksum", None)
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def interpreter() -> str:
    """Formats the running Python's path for a shell."""
    python = Path(sys.executable)
    return str(python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python)
