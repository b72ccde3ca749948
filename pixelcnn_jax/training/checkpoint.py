"""What a run leaves on disk to go on from, through orbax: the latest states, and the best parameters."""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from pixelcnn_jax.errors import InputError


class Best(NamedTuple):
    """The parameters that did best on validation so far."""

    step: int
    loss: float


class Checkpoints:
    """The checkpoints of one run: ``workdir/checkpoints`` to resume from, ``workdir/best`` to score and sample from.

    A checkpoint that a killed process left unfinished is never seen: orbax renames a finished one into place.
    """

    def __init__(self, workdir: Path | str, *, keep: int = 2, owner: bool = False) -> None:
        policies = ocp.training.preservation_policies
        root = Path(workdir).absolute()
        every_call = ocp.training.save_decision_policies.FixedIntervalPolicy(1)

        def checkpointer(name: str, count: int) -> ocp.training.Checkpointer:
            return ocp.training.Checkpointer(
                root / name,
                save_decision_policy=every_call,
                preservation_policy=policies.LatestN(count),
                cleanup_tmp_directories=owner,  # what a reader took for litter may be a save under way
            )

        self._states = checkpointer("checkpoints", keep)
        self._best = checkpointer("best", 1)

    def restore(self, state: Any) -> Any | None:
        """The latest state, of the shapes, types and shardings of ``state``; None where there is none.

        Raises InputError for a checkpoint that is damaged or of another network.
        """
        return None if self._states.latest is None else _load(self._states, state)

    def save(self, step: int, state: Any) -> None:
        """Writes in the background; training goes on. Raises InputError where this, or what was begun before, fails."""
        with _writing(self._states):
            self._states.save_async(step, state, custom_metadata={"digest": digest(state)})

    def best(self) -> Best | None:
        """Which parameters are kept as the best, if any are. Raises InputError where they are damaged."""
        latest = self._best.latest
        if latest is None:
            return None
        try:
            return Best(latest.step, self._best.metadata(latest).custom_metadata["loss"])
        except Exception as error:  # as in _load
            place = self._best.directory / str(latest.step)
            raise InputError(f"The best parameters, {place}, are damaged; train again in another workdir.") from error

    def forget_after(self, step: int) -> None:
        """Drops best parameters of steps that a resumed run has still to do, lest it cannot save them again.

        And those before the newest, of which a process killed while it deleted them may have left a part.
        """
        newest = self._best.latest
        for checkpoint in list(self._best.checkpoints):
            if checkpoint.step > step or checkpoint.step != newest.step:
                self._best.delete(checkpoint.step)

    def restore_best(self, params: Any) -> Any:
        """The best parameters, of the shapes, types and shardings of ``params``; InputError where there are none."""
        if self._best.latest is None:
            raise InputError(f"{self._best.directory} holds no parameters: no validation of that run is finished.")
        return _load(self._best, params)

    def save_best(self, best: Best, params: Any) -> None:
        """Keeps ``params`` in place of the best so far. Raises InputError where they cannot be written."""
        with _writing(self._best):
            self._best.save(best.step, params, custom_metadata={"loss": best.loss, "digest": digest(params)})

    def close(self) -> None:
        """Waits for what is being written. Raises InputError where that fails."""
        for checkpointer in (self._states, self._best):
            with _writing(checkpointer):
                checkpointer.close()


@contextmanager
def _writing(checkpointer: ocp.training.Checkpointer) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # orbax and tensorstore each raise their own for a disk that is full
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{checkpointer.directory} cannot be written: {reason}") from error


def digest(tree: Any) -> str:
    """Of all values of a tree, by which a file that is damaged and can be read all the same is told."""
    total = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        total.update(np.ascontiguousarray(leaf).view(np.uint8).data)
    return total.hexdigest()


def _load(checkpointer: ocp.training.Checkpointer, like: Any) -> Any:
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
    latest = checkpointer.latest
    hook, log = sys.unraisablehook, logging.getLogger("asyncio")
    sys.unraisablehook = partial(_unless_closed, hook)
    log.addFilter(_unless_never_retrieved)
    try:
        loaded = checkpointer.load(latest.step, abstract)
        kept = (checkpointer.metadata(latest).custom_metadata or {}).get("digest")
        if kept not in (None, digest(loaded)):  # None: of a version that kept none
            raise ValueError("the values are not those that were saved")
        sys.unraisablehook = hook
        log.removeFilter(_unless_never_retrieved)
        return loaded
    except Exception as error:  # orbax, tensorstore and json each raise their own for a damaged file
        place = checkpointer.directory / str(latest.step)
        raise InputError(
            f"The checkpoint {place} is damaged or of another network; remove that folder to go on from the one before."
        ) from error


# After a read that failed, those beside it are abandoned: some find orbax's event loop closed, some fail with nobody to
# ask for the reason, and each says so at length, whenever it is collected. So both stay quiet from a failure on.


def _unless_closed(hook: Callable[[Any], Any], unraisable: Any) -> None:
    if "Event loop is closed" not in str(unraisable.exc_value):
        hook(unraisable)


def _unless_never_retrieved(record: logging.LogRecord) -> bool:
    return not any(phrase in record.getMessage() for phrase in ("was never retrieved", "was destroyed but"))
