"""Trains an experiment.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits [--config.train.steps=3000 ...]

Writes model.safetensors, model.json, report.html, checkpoints, samples.png, curve.png, metrics.jsonl and result.json.
The same command resumes.

--dry_run in place of --workdir prints parameters, memory and FLOPs of a step, and the time of the training.
For several hosts, with a shared workdir, prefix the command by srun or mpirun, or run it on each host of a TPU slice.
On other machines, start it on each host with --coordinator=HOST:PORT --processes=N --process=I. HOST is the host of
process 0, N the number of processes, and I the number of this one, from 0.
"""

import os

from pixelcnn_jax.foundation.interruption import end_in_one_line

if __name__ == "__main__":  # before JAX is imported
    end_in_one_line("Interrupted. Rerun the command to resume from the last checkpoint.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA's C++ log warns of preemptions and slow compilations

import difflib
import json
import re
import shlex
import sys
import textwrap
from dataclasses import asdict, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags, logging
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags import config_path

from experiments import default_config, recipe_of
from experiments.next_commands import next_commands
from pixelcnn_jax.data.loading import load_splits, training_or_stand_in
from pixelcnn_jax.data.preparation import Preparation
from pixelcnn_jax.foundation import devices
from pixelcnn_jax.foundation.errors import InputError, user_message
from pixelcnn_jax.foundation.files import interpreter
from pixelcnn_jax.training.config import RunConfig, help_text, parse_config
from pixelcnn_jax.training.cost import estimate_cost
from pixelcnn_jax.training.experiment import Recipe
from pixelcnn_jax.training.processes import Processes, is_first, join, launched, run_on_first_process
from pixelcnn_jax.training.run import train
from pixelcnn_jax.training.signals import Interrupted
from pixelcnn_jax.training.summary import summary, table

# Fields of config.data that change the images or the test split.
PREPARATION = {"dataset", "validation_split", "test_split"} | {field.name for field in fields(Preparation)}
UNITS = {"bytes": ("MB", 1e-6), "flops": ("GFLOP", 1e-9), "minutes": ("minutes", 1)}  # of a dry run, and their scale


class Command(NamedTuple):
    """A parsed command line."""

    config: ConfigDict
    workdir: Path | None  # None for a dry run
    processes: Processes | None  # None: as launched
    help: bool = False


def main(argv: list[str] | None = None, *, typed: str | None = None) -> None:
    """Runs the command; input errors are one line on stderr and exit status 1.

    Args:
      argv: the program and its arguments; None takes those of the process.
      typed: the command line as a person types it, for the report.
    """
    argv = list(sys.argv) if argv is None else argv
    logging.set_verbosity(logging.FATAL)  # orbax logs every file
    try:
        command = parse(argv)
        recipe = recipe_of(command.config.experiment)
        if command.help:
            configs = ", ".join(sorted(file.stem for file in Path("configs").glob("[a-z]*.py")))
            print(__doc__, textwrap.fill(f"configs: {configs}", 120), "", sep="\n")
            print(help_text(command.config, recipe.Config))
            return
        config = parse_config(command.config, recipe.Config)
        if command.workdir is None:
            print(json.dumps(dry_run(config, recipe)))
            return
        line = json.dumps(train_and_print(config, recipe, command, typed))
        if is_first():
            ends = [line]
            if (report := command.workdir / "report.html").exists():
                suggested = [f"\nThe report is {report}. Next:", *(f"  {x}" for x in next_commands(command.workdir))]
                # Programs read the last line; on a terminal it comes first.
                ends.insert(int(sys.stdout.isatty()), "\n".join(suggested))
            print(*ends, sep="\n")
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.status)
    except (InputError, OSError) as error:  # OSError: a full disk, a folder without permission
        if (message := user_message(error)) is None:
            raise
        sys.exit(f"error: {message}")
    except jax.errors.JaxRuntimeError as error:
        if "Gloo" not in str(error):
            raise
        message = "Another process died. Rerun the command of each process to resume from the last checkpoint."
        print(f"error: {message}", file=sys.stderr, flush=True)
        os._exit(1)  # an ordinary exit would wait for the lost process, and abort


def train_and_print(config: RunConfig, recipe: Recipe, command: Command, typed: str | None) -> dict[str, Any]:
    """Trains, prints the table and returns the summary."""
    assert command.workdir is not None
    parts = config.train.batch_size // (config.train.microbatch_size or 1)
    processes = command.processes or launched()
    devices.use_all_cores(parts, processes=processes.num_processes)
    devices.keep_programs()
    join(processes)
    if config.data.download and processes.num_processes > 1:
        run_on_first_process(lambda: bool(load_splits(config.data)))  # the others find the data set prepared
    splits = load_splits(config.data)
    if is_first() and (hint := dtype_hint(config)) and config.model.dtype == "bfloat16":
        print(hint, file=sys.stderr)
    result = train(config, recipe, splits, command.workdir, command=typed, next_commands=next_commands)
    if is_first():
        print(table(config, splits, result))
    return summary(config, command.workdir, result)


def dry_run(config: RunConfig, recipe: Recipe) -> dict[str, Any]:
    """Prints and returns the cost of a training step; TFDS data need not be prepared."""
    jax.config.update("jax_platforms", "cpu")  # leave an accelerator's memory alone
    train_split = training_or_stand_in(config.data)
    experiment = recipe.make_experiment(config, train_split.spec, None)
    devices.keep_programs()
    print("compiling a step, which may take a minute", file=sys.stderr, flush=True)
    cost = estimate_cost(config, experiment, train_split)
    if hint := dtype_hint(config):
        print(hint, file=sys.stderr)
    for name, value in cost.items():
        unit, scale = UNITS.get(name.rpartition("_")[2], ("", 1))
        print(f"{name.replace('_', ' '):18} {value * scale:>12,.{1 if unit else 0}f} {unit}")
    return {"dataset": config.data.dataset, **asdict(train_split.spec), **cost}


def dtype_hint(config: RunConfig) -> str | None:
    """Names the matmul dtype that trains faster, if this is a CPU and the config has the other."""
    faster, units = ("bfloat16", "has") if devices.has_bfloat16_units() else ("float32", "has no")
    if jax.default_backend() != "cpu" or config.model.dtype == faster:
        return None
    return f"config.model.dtype={faster} may train faster: this CPU {units} bfloat16 units."


def parse(argv: list[str]) -> Command:
    """Parses a command line; raises InputError for an invalid one."""
    values = flags.FlagValues()
    none = re.compile(r"--config\.([\w.]+)=None")  # which absl's flags of numbers do not take
    cleared = [match[1] for match in map(none.fullmatch, argv) if match]
    argv = [argument for argument in argv if not none.fullmatch(argument)]
    config_flags.DEFINE_config_file("config", None, "the run's config", flag_values=values, sys_argv=argv)
    flags.DEFINE_string("workdir", None, "folder of the run", flag_values=values)
    flags.DEFINE_bool("dry_run", False, "print what a step needs and train nothing", flag_values=values)
    flags.DEFINE_string("coordinator", None, "host:port of process 0", flag_values=values)
    flags.DEFINE_integer("processes", None, "number of processes", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("process", None, "number of this process, from 0", flag_values=values)
    flags.DEFINE_bool("help", False, "list the configs and the fields", short_name="h", flag_values=values)
    try:
        rest = values(argv)[1:]
        config: Any = values.config or (default_config("unconditional") if values.help else None)
        for name in cleared if config is not None else ():
            attrgetter(name)(config)  # raises AttributeError for an unknown field
            config_path.set_value(name, config, None)
        experiment = getattr(config, "experiment", None)  # a missing file is noticed here
    except Exception as error:  # whatever a config file, absl or ml_collections raises
        cause: BaseException = error
        while "Traceback" in str(cause) and cause.__context__:  # as ml_collections rewrites an error of the config file
            cause = cause.__context__
        text = str(cause.args[0] if isinstance(cause, KeyError | AttributeError) else cause).strip()
        file = re.search("No such file or directory: '(.*)'", text)
        if file and file[1] in " ".join(argv):
            near = difflib.get_close_matches(file[1], map(str, Path("configs").glob("[a-z]*.py")), n=1)
            hint = "".join(f"; did you mean {match}?" for match in near) or " (see --help)."
            if not Path("configs").is_dir():
                hint = ": run this command in the top folder of a checkout of pixelcnn-jax."
            raise InputError(f"There is no config file {file[1]}{hint}") from error
        missing = "There is no field " * isinstance(cause, AttributeError)
        text = re.sub(r"^get_config\(\) takes 0 .* but 1", "This config takes no argument, one", text)
        line = (one_line(text) or type(cause).__name__).rstrip(".")
        raise InputError(f"{missing}{line} (see --help).") from error
    if rest:
        raise InputError(f"Unexpected argument {rest[0]}: set a field with --config.SECTION.FIELD=VALUE (see --help).")
    if not isinstance(experiment, str):
        raise InputError("Give --config=configs/NAME.py, a file whose get_config() returns a config (see --help).")
    if values.help:
        return Command(config, None, None, help=True)
    changed = {name.removeprefix("data.") for name in (*config_flags.get_override_values(values["config"]), *cleared)}
    if changed & PREPARATION and config.get("train", {}).get("published"):
        config.train.published = ()  # figures of the unchanged data
    if (values.workdir is None) != values.dry_run:
        raise InputError("Give either --workdir=DIR or --dry_run (see --help).")
    cluster = (values.coordinator, values.processes, values.process)
    if None in cluster and cluster not in ((None,) * 3, (None, 1, None)):
        raise InputError("Give --coordinator, --processes and --process together, or --processes=1 alone (see --help).")
    workdir = None if values.workdir is None else Path(values.workdir).expanduser()
    return Command(config, workdir, None if values.processes is None else Processes(*cluster))


def one_line(message: object) -> str:
    """Joins the lines of a message, without escapes and quotes."""
    line = " ".join(str(message).replace("\\n", ". ").replace("\\", "").split())
    return line[1:-1] if len(line) > 1 and line[0] == line[-1] and line[0] in "'\"" else line


if __name__ == "__main__":
    main(typed=shlex.join([interpreter(), *sys.orig_argv[1:]]))
