"""Files that are written whole or not at all, and JSON that says when it was damaged since."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def atomic_write(path: Path | str, content: str | bytes) -> None:
    """Writes a file through a temporary one beside it, so that a reader never sees a part of it.

    The content has reached the disk when this returns; a process that is killed leaves the older file or none.

    Raises:
      OSError: if the file cannot be written; the temporary file is removed and an older file stays.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Writes facts as JSON, with a checksum of them as one more."""
    facts = {**facts, "checksum": checksum(facts)}
    atomic_write(path, json.dumps(facts, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Returns what ``write_json`` wrote. A file without a checksum, which a person may have written, is read too.

    Raises:
      OSError, ValueError, TypeError, RecursionError: if it cannot be read, or is damaged.
    """
    facts = dict(json.loads(path.read_text()))
    if facts.get("checksum") not in (None, checksum(facts)):
        raise ValueError("Checksum mismatch.")
    return facts


def checksum(facts: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of facts as JSON, without the fact "checksum" itself."""
    rest = {name: value for name, value in facts.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def interpreter() -> str:
    """Returns the running Python as a shell in the current folder finds it, whatever environment is activated."""
    python = Path(sys.executable)
    return str(python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python)


def cache_folder() -> Path:
    """Returns the folder of what can be fetched or computed again: ``$XDG_CACHE_HOME/pixelcnn-jax``, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pixelcnn-jax"
