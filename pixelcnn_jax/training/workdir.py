"""Run directory: lock, config, prepared variables, and the names of all other files.

config.json           config and facts of the data
prepared.safetensors  variables fitted before training, with their card
checkpoints/          train states
model.safetensors     best EMA parameters
model.json            model card
metrics.jsonl, tensorboard/, curve.png, samples*.png
report.html           all of it on one page
result.json           final scores
"""

import errno
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import flax
import jax

from pixelcnn_jax.data.dataset import Dataset, read_all
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.source import INSPECTED
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.files import read_json, try_read_json, write_json
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.config import RunConfig, parse_config, to_dict
from pixelcnn_jax.training.processes import run_on_first_process
from pixelcnn_jax.zoo.pretrained import name_of, read_weights, save_pretrained

# These change no result.
MAY_DIFFER = {"config.data.download", "config.train.loggers", "config.train.seconds"}
STEPS = "config.train.steps"


@contextmanager
def open_workdir(
    workdir: Path, config: RunConfig, splits: Splits, *, command: str | None = None
) -> Iterator[dict[str, Any] | None]:
    """Locks and claims a workdir; yields the result of a finished run, else None.

    Finished runs are not locked: the folder may be read-only. With a constant schedule, a larger ``config.train.steps``
    extends a run.

    Raises:
      InputError: for a workdir of a different run, damaged or in use.
    """
    with ExitStack() as held:

        def begin() -> dict[str, Any] | None:
            if not (finished_result(workdir, config) and (workdir / "config.json").exists()):
                held.enter_context(locked(workdir))
            longer = claim(workdir, config, splits, command=command)
            if (result := finished_result(workdir, config)) or config.experiment == "fit":  # which writes neither file
                return result
            if (workdir / "result.json").exists() and not longer:
                print(f"Replacing the damaged {workdir / 'result.json'}.", file=sys.stderr)
            for name in ("result.json", "samples.png"):  # of a run that is made longer
                (workdir / name).unlink(missing_ok=True)
            return None

        yield run_on_first_process(begin)


def claim(workdir: Path, config: RunConfig, splits: Splits, *, command: str | None = None) -> bool:
    """Claims a locked workdir by its ``config.json``, in which a missing field means its default.

    Returns:
      Whether the run is extended.

    Raises:
      InputError: for different settings or data.
    """
    counts = {name: len(split) for name, split in splits._asdict().items() if split is not None}
    images = {"spec": vars(splits.spec), "counts": counts}
    facts: dict[str, Any] = {"config": to_dict(config), "images": images}
    images["sha256"] = {name: _digest(getattr(splits, name)) for name in counts}
    if command is not None:
        facts["command"] = command
    facts = json.loads(json.dumps(facts))
    file = workdir / "config.json"
    try:
        stored = read_json(file) if file.exists() else facts
        with suppress(InputError):  # of a different experiment or version: compared as it was written
            parsed = parse_config(stored["config"], type(config.section))
            stored |= json.loads(json.dumps({"config": to_dict(parsed)}))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} is damaged: restore it, or choose a different workdir.") from error
    movable = MAY_DIFFER | ({"config.data.data_dir"} if config.data.dataset not in ("folder", "array") else set())
    fields, stored_fields = (flax.traverse_util.flatten_dict(facts, sep=".") for facts in (facts, stored))
    constant = config.optimizer.schedule == "constant" and not config.optimizer.decay
    is_longer = constant and stored_fields.get(STEPS, 0) < config.train.steps
    movable |= {"command", "checksum"} | ({STEPS} if is_longer else set())
    names = (fields.keys() | stored_fields.keys()) - movable
    for name in sorted(names, key=lambda name: (".arguments." not in name, name)):  # those of fit first
        before, now = stored_fields.get(name), fields.get(name)
        if before != now:
            field = name.rpartition(".")[2] if name.startswith("config.") else name
            more = f" To train on, start from {name_of(workdir)}." if name == STEPS else ""
            raise InputError(
                f"{workdir} has a different config: {field} was {before} and is now {now}. Choose a new workdir.{more}"
            )
    if is_longer or not file.exists():
        write_json(file, facts)
    return is_longer


def _digest(split: Dataset) -> str:
    return hashlib.sha256(b"".join(x.tobytes() for x in read_all(split.subset(INSPECTED)).values())).hexdigest()[:16]


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Makes a workdir and locks it for the life of the process.

    Raises:
      InputError: for an unusable folder, or if another process holds the lock.
    """
    import fcntl  # not on Windows; ``fit`` without a folder works there

    if workdir.parts and workdir.parts[0].endswith(":"):  # Path("gs://bucket/run")
        raise InputError(f"{workdir} must be a folder on a file system: mount the bucket, or copy the run to it later.")
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if not {path.name for path in workdir.iterdir()} <= {"config.json.part", "lock"}:  # of a start that was killed
            (workdir / "config.json").stat()  # it may hold files that are not of a run
        file = (workdir / "lock").open("w")
    except OSError as error:
        raise InputError(f"{workdir} cannot be used as a workdir ({error}): choose a different one.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another process is training in {workdir}: wait, or choose a different one.") from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):  # a file system without locks
                raise
        yield


def finished_result(workdir: Path, config: RunConfig) -> dict[str, Any] | None:
    """Reads ``result.json``; None unless a run of ``config.train.steps`` finished."""
    result = try_read_json(workdir / "result.json")
    return result if result.get("steps") == config.train.steps and config.experiment != "fit" else None


def prepare_once(workdir: Path, spec: ImageSpec, prepare: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Runs ``Recipe.prepare`` once; later reads its variables from the workdir.

    Raises:
      InputError: if the file is damaged.
    """
    file = workdir / "prepared.safetensors"

    def write() -> bool:
        if not file.exists() and (prepared := prepare()):
            save_pretrained(file, {}, prepared, {"image_spec": spec})
        return file.exists()

    return jax.device_get(read_weights(file)[0]) if run_on_first_process(write) else {}
