"""Files that are written whole or not at all."""

import os
from pathlib import Path


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
