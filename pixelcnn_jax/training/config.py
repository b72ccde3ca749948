"""The config of a run: typed groups, put together from the modules that read them."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pixelcnn_jax.data.dataset import DataConfig
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import as_config, field, help_lines, read_group
from pixelcnn_jax.models.registry import ModelConfig
from pixelcnn_jax.training.optimizer import OptimizerConfig

if TYPE_CHECKING:  # a command line needs it, a call of ``fit`` does not
    from ml_collections import ConfigDict


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long to train, on how many images at a time, and what to keep."""

    steps: int = field(1000, "number of training steps", least=1)
    batch_size: int = field(64, "images a step, over all devices", least=1)
    microbatch_size: int | None = field(
        None, "images whose gradient is computed at a time, over all devices; 2 to 4 are fastest on a CPU", least=1
    )
    eval_batch_size: int = field(64, "images a batch in evaluation", least=1)
    ema_decay: float = field(0.999, "decay of the EMA parameters, which are evaluated and sampled", least=0, below=1)
    seconds: float | None = field(
        None, "save and stop after this time; the same command resumes, with the bits of an unbroken run", above=0
    )
    start_from: str | None = field(None, "model to start from: a published name, a workdir or a .safetensors file")
    reinitialise: tuple[str, ...] = field((), "parts of that model to initialise as usual, for example head")
    log_every: int = field(50, "steps between two records of the training loss", least=1)
    eval_every: int = field(500, "steps between two validations, each with a picture of samples", least=1)
    checkpoint_every: int = field(500, "steps between two checkpoints", least=1)
    sample_rows: int = field(8, "rows of the picture of samples", least=1)
    sample_columns: int = field(8, "columns of the picture of samples", least=1)
    score_train_images: int | None = field(None, "training images scored at the end; None scores all", least=1)
    report_images: int = field(2000, "held-out images used in the report; 0 for no report", least=0)
    report_samples: int = field(1000, "samples used in the report", least=1)
    baselines: bool = field(False, "compute the likelihoods of uniform and independent pixels for the table")
    published: tuple = field((), 'published rows of the table: (model, split, "bits/dim" or "nats", value)')
    loggers: tuple[str, ...] = field((), 'loggers besides TensorBoard, functions named "module:function"')
    compilation_cache: str | None = field(None, "folder that keeps compiled programs for later runs; None for ~/.cache")

    def __post_init__(self) -> None:
        for name in ("batch_size", "eval_batch_size"):
            if self.microbatch_size is not None and getattr(self, name) % self.microbatch_size:
                raise InputError(
                    f"config.train.{name} must be a multiple of config.train.microbatch_size, got "
                    f"{getattr(self, name)} and {self.microbatch_size}."
                )
        if self.reinitialise and self.start_from is None:
            raise InputError("config.train.reinitialise needs config.train.start_from: it names parts of that model.")
        for row in self.published:
            if not (isinstance(row, tuple) and len(row) == 4 and row[2] in ("bits/dim", "nats")):
                raise InputError(
                    f'config.train.published must be rows (model, split, "bits/dim" or "nats", value), got {row}.'
                )


GROUPS: dict[str, Any] = {"data": DataConfig, "model": ModelConfig, "optimizer": OptimizerConfig, "train": TrainConfig}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of a run, checked.

    Attributes:
      experiment: name of the experiment, a key of ``experiments.EXPERIMENTS``.
      seed: seed of the parameters, the batches, dropout and samples.
      data, model, optimizer, train: the groups that all experiments share.
      group: the experiment's own group, ``config.<experiment>`` on the command line.
    """

    experiment: str
    seed: int
    data: DataConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    group: Any


def compose(experiment: str, kind: type) -> "ConfigDict":
    """Returns the default config of an experiment, whose own group has a class, as a locked ConfigDict."""
    from ml_collections import ConfigDict

    config = ConfigDict({"experiment": experiment, "seed": 0})
    for name, group in {**GROUPS, experiment: kind}.items():
        config[name] = as_config(group)
    return config.lock()


def parse_config(config: "ConfigDict | Mapping[str, Any]", kind: type) -> RunConfig:
    """Returns a config, checked and typed.

    Raises:
      InputError: for an unknown field, a value of the wrong type and a value out of its bounds, by name.
    """
    fields = dict(config) if isinstance(config, Mapping) else config.to_dict()
    name = str(fields.get("experiment"))
    if unknown := fields.keys() - {"experiment", "seed", name, *GROUPS}:
        raise InputError(f"config has no group {min(unknown)}: it has {', '.join([*GROUPS, name])}.")
    seed = fields.get("seed", 0)
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"config.seed must be a whole number from 0 to 2**32 - 1, got {seed}.")
    groups = {key: read_group(group, fields.get(key, {}), name=f"config.{key}") for key, group in GROUPS.items()}
    groups["group"] = read_group(kind, fields.get(name, {}), name=f"config.{name}")
    return RunConfig(experiment=name, seed=seed, **groups)


def in_float32(config: RunConfig) -> RunConfig:
    """Returns the config of the same model computed in float32, as it is validated, sampled and saved."""
    return dataclasses.replace(config, model=dataclasses.replace(config.model, dtype="float32"))


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Returns a config as nested dicts, as ``parse_config`` reads them and JSON holds them."""
    fields = dataclasses.asdict(config)
    return {**{name: value for name, value in fields.items() if name != "group"}, config.experiment: fields["group"]}


def help_text(config: "ConfigDict", kind: type) -> str:
    """Returns the fields of all groups with their values in a config and their meanings, for ``--help``."""
    experiment, values = config.experiment, config.to_dict()
    lines = [f"  --config.seed={config.seed}".ljust(52) + " seed of the parameters, the batches, dropout and samples"]
    titles = {name: (group.__doc__ or "").strip().partition("\n")[0] for name, group in GROUPS.items()}
    titles[experiment] = f"Fields of the experiment {experiment} alone." if dataclasses.fields(kind) else "No fields."
    for name, group in {**GROUPS, experiment: kind}.items():
        lines += ["", f"config.{name}: {titles[name]}", *help_lines(group, values[name], name=f"config.{name}")]
    return "\n".join(lines)
