"""The config of a run, in typed sections, and its PRNG keys."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
from jaxtyping import Array, Key

from pixelcnn_jax.data.loading import DataConfig
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import as_config, field, help_lines, read_section
from pixelcnn_jax.training.optimizer import OptimizerConfig
from pixelcnn_jax.zoo.registry import ModelConfig

if TYPE_CHECKING:  # not needed by ``fit``
    from ml_collections import ConfigDict


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Duration, batch sizes, validation and outputs."""

    steps: int = field(1000, "number of training steps", min=1)
    batch_size: int = field(64, "images per step, over all devices", min=1)
    microbatch_size: int | None = field(None, "images per gradient on each device; on CPUs 1 to 4", min=1)
    eval_batch_size: int = field(64, "images per evaluation batch", min=1)
    ema_decay: float = field(0.999, "decay of the EMA parameters", min=0, below=1)
    seconds: float | None = field(None, "time limit in seconds; the same command resumes", above=0)
    start_from: str | None = field(None, "warm start: published name, workdir or .safetensors file")
    reinitialise: tuple[str, ...] = field((), "submodules to re-initialise, e.g. head")
    log_every: int = field(50, "steps between records of the training loss", min=1)
    eval_every: int = field(500, "steps between validations, each with samples", min=1)
    checkpoint_every: int = field(500, "steps between checkpoints", min=1)
    sample_rows: int = field(8, "rows of the sample grid", min=1)
    sample_columns: int = field(8, "columns of the sample grid", min=1)
    score_train_images: int | None = field(None, "training images to score at the end; None for all", min=1)
    report_images: int = field(2000, "held-out images in the report; 0 for none", min=0)
    report_samples: int = field(1000, "samples in the report", min=1)
    baselines: bool = field(False, "also score two baselines: uniform pixels and independent pixels")
    published: tuple = field((), 'published figures: (model, split, "bits/dim" or "nats", value)')
    loggers: tuple[str, ...] = field((), 'loggers besides TensorBoard, as "module:function"')

    def __post_init__(self) -> None:
        if self.reinitialise and self.start_from is None:
            raise InputError("reinitialise needs start_from: it names parts of that model.")
        for row in self.published:
            is_row = isinstance(row, tuple) and len(row) == 4 and isinstance(row[3], int | float)
            if not (is_row and row[2] in ("bits/dim", "nats")):
                raise InputError(f'published must be rows (model, split, "bits/dim" or "nats", value), got {row}.')


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of a run, validated.

    Attributes:
      experiment: a key of ``experiments.EXPERIMENTS``, or "fit".
      seed: seed of parameters, batches, dropout and samples.
      data: data set and splits.
      model: the network.
      optimizer: optimizer and schedule.
      train: the train loop.
      section: the experiment's own section, ``config.<experiment>``.
    """

    experiment: str
    seed: int
    data: DataConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    section: Any


SECTIONS: Any = {x.name: x.type for x in dataclasses.fields(RunConfig) if dataclasses.is_dataclass(x.type)}


class Keys(NamedTuple):
    """PRNG keys of a run."""

    init: Key[Array, ""]
    step: Key[Array, ""]
    sample: Key[Array, ""]
    score: Key[Array, ""]
    report: Key[Array, ""]


def run_keys(config: RunConfig) -> Keys:
    """Derives the keys from the seed."""
    return Keys(*jax.random.split(jax.random.key(config.seed), len(Keys._fields)))


def compose(experiment: str, kind: type) -> "ConfigDict":
    """Builds an experiment's default config; ``kind`` is the class of its section."""
    from ml_collections import ConfigDict

    sections = {name: as_config(section) for name, section in {**SECTIONS, experiment: kind}.items()}
    return ConfigDict({"experiment": experiment, "seed": 0, **sections}).lock()


def parse_config(config: "ConfigDict | Mapping[str, Any]", kind: type, *, named: bool = True) -> RunConfig:
    """Validates a config and converts it to dataclasses.

    Args:
      config: The config, or nested dicts of the same structure.
      kind: The class of the experiment's section.
      named: Whether errors name the section of a field, as on a command line; False for the arguments of a function.

    Raises:
      InputError: for an unknown field, wrong type or value out of bounds.
    """
    fields = dict(config) if isinstance(config, Mapping) else config.to_dict()
    name = str(fields.get("experiment"))
    if unknown := fields.keys() - {"experiment", "seed", name, *SECTIONS}:
        raise InputError(f"config has no section {min(unknown)}: it has {', '.join([*SECTIONS, name])}.")
    seed = fields.get("seed", 0)
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"config.seed must be a whole number from 0 to 2**32 - 1, got {seed}.")

    def read(key: str, section: type) -> Any:
        return read_section(section, fields.get(key, {}), name=f"config.{key}" * named)

    sections = {key: read(key, section) for key, section in SECTIONS.items()}
    return RunConfig(experiment=name, seed=seed, section=read(name, kind), **sections)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Converts a config to nested dicts, the inverse of ``parse_config``."""
    fields = dataclasses.asdict(config)
    fields[config.experiment] = fields.pop("section")
    return fields


def help_text(config: "ConfigDict", kind: type) -> str:
    """Formats all fields with values and descriptions, for ``--help``."""
    experiment, values = config.experiment, config.to_dict()
    lines = [f"  --config.seed={config.seed}".ljust(52) + " seed of the parameters, the batches, dropout and samples"]
    titles = {name: (section.__doc__ or "").strip().partition("\n")[0] for name, section in SECTIONS.items()}
    titles[experiment] = f"Fields of the experiment {experiment} alone." if dataclasses.fields(kind) else "No fields."
    for name, section in {**SECTIONS, experiment: kind}.items():
        lines += ["", f"config.{name}: {titles[name]}", *help_lines(section, values[name], name=f"config.{name}")]
    return "\n".join(lines)
