"""Checkpoints of the train state, through orbax: how they are written, checked and kept, not when.

A manifest of SHA-256 hashes is written last: without it a checkpoint is unfinished, with a mismatch damaged.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jax

from pixelcnn_jax.foundation.errors import InputError, first_line
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.training.processes import is_first, run_on_first_process


class Checkpoints:
    """The checkpoints of one run, in folders named by step.

    Args:
      folder: parent folder, or None to keep none.
      keep: number of checkpoints. Orbax's own retention would delete before the manifest is written.
    """

    def __init__(self, folder: Path | None, *, keep: int = 2) -> None:
        self.folder = (folder or Path()).absolute()
        self.keep = 0 if folder is None else keep

    def steps(self) -> list[int]:
        """Lists the steps of finished checkpoints."""
        if not self.keep:
            return []
        names = [file.parent.name for file in self.folder.glob("*/manifest.json")]
        return sorted(int(name) for name in names if name.isdecimal())

    def save(self, step: int, state: Any) -> None:
        """Writes a checkpoint, then removes later ones and the oldest; a collective call.

        Synchronous, as orbax's asynchronous saves leak a thread and three file descriptors each.

        Raises:
          InputError: if it cannot be written; earlier checkpoints stay.
        """
        if not self.keep:
            return
        from orbax.checkpoint import v1 as ocp

        place = self.folder / str(step)
        try:
            if is_first() and place.exists():  # unfinished, or of a run that resumed from an earlier step
                shutil.rmtree(place)
            context = ocp.Context()
            # Otherwise Python hangs at exit if the folder cannot be made.
            context.asynchronous.create_directories_asynchronously = False
            context.array.saving.use_replica_parallel = False  # it cuts each array into a slice per device
            with context:
                ocp.save(place / "state", state)
            if is_first():
                atomic_write(place / "facts.json", json.dumps({"shapes": shapes_of(state)}))
                atomic_write(place / "manifest.json", json.dumps(_hashes(place), indent=1))
                self.discard_from(step + 1)
                for old in self.steps()[: -self.keep]:
                    shutil.rmtree(self.folder / str(old))
        except Exception as error:  # orbax and tensorstore have errors of their own
            raise InputError(f"The checkpoint {place} cannot be written: {first_line(error)}.") from error

    def discard_from(self, step: int) -> None:
        for saved_step in self.steps() if is_first() else ():
            if saved_step >= step:
                shutil.rmtree(self.folder / str(saved_step))

    def restore(self, like: Any) -> Any | None:
        """Loads the latest intact checkpoint, or None; damaged ones are named on stderr.

        Args:
          like: a state with the shapes, dtypes and shardings to restore.

        Raises:
          InputError: for a different network or an unreadable folder.
        """
        step = run_on_first_process(lambda: self._latest_whole(shapes_of(like))) if self.keep else None
        if step is None:
            return None
        from orbax.checkpoint import v1 as ocp

        abstract_state = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        return ocp.load(self.folder / str(step) / "state", abstract_state)

    def _latest_whole(self, shapes: dict[str, str]) -> int | None:
        for step in reversed(self.steps()):
            place = self.folder / str(step)
            if not _is_whole(place):
                print(f"Skipping damaged checkpoint {place}.", file=sys.stderr)
            elif json.loads((place / "facts.json").read_text())["shapes"] != shapes:
                raise InputError(f"The checkpoint {place} belongs to a different network: choose a different workdir.")
            else:
                return step
        if (self.folder.parent / "metrics.jsonl").exists():
            print(f"No intact checkpoint in {self.folder}; restarting from step 0.", file=sys.stderr)
        return None


def _is_whole(place: Path) -> bool:
    try:
        return bool(json.loads((place / "manifest.json").read_text()) == _hashes(place))
    except PermissionError as error:
        raise InputError(f"{error.filename} cannot be read: grant this user read permission.") from error
    except (OSError, ValueError, RecursionError):
        return False


def shapes_of(state: Any) -> dict[str, str]:
    """Describes dtype and shape of each array of a pytree, by path."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
