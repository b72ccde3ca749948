"""The command line that all experiments share: flags, data, training, the table and the JSON line at the end."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple, cast

import jax
from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from configs import base
from experiments import dry_run
from pixelcnn_jax.data.baselines import independent_nats, independent_pixels, uniform_nats
from pixelcnn_jax.data.dataset import Images, load, no_images
from pixelcnn_jax.devices import Processes, is_first, join
from pixelcnn_jax.errors import InputError, sentence_of
from pixelcnn_jax.likelihood import nats_to_bits_per_dim
from pixelcnn_jax.pretrained import load_pretrained
from pixelcnn_jax.training.loop import Experiment, Splits, check_fields, train
from pixelcnn_jax.training.metrics import LIKELIHOOD, words

MakeExperiment = Callable[[ConfigDict, Splits], Experiment]


HELP = """
usage: python -m {module} --config=configs/NAME.py --workdir=DIR [--config.FIELD=VALUE ...]

Trains in DIR and scores all validation and test images. The same command on the same DIR goes on where it was stopped.
DIR then holds result.json, samples.png, curve.png, metrics.jsonl, tensorboard/, checkpoints/ and best/.

Many hosts train together when each runs the command, DIR being a folder that all see, and is told where process 0 is,
how many there are, and which it is: --coordinator=HOST:PORT --processes=N --process=I
With --dry_run in place of --workdir nothing is trained, but told what a step needs: parameters, memory, arithmetic.

configs: {configs}

fields, with the values of configs/base.py (model fields as --config.model.FIELD):
{fields}"""


def main(make_experiment: MakeExperiment, argv: list[str] | None = None) -> None:
    """Runs an experiment from the command line; what the user got wrong is one sentence on stderr, exit status 1."""
    argv = list(sys.argv) if argv is None else argv
    module = cast(FunctionType, make_experiment).__globals__["__spec__"].name  # also where it is run as __main__
    if asks_for_help(argv):
        print(help_text(module))
        return

    def work() -> dict[str, Any]:
        command = parse(argv)
        if command.workdir is None:
            return dry(module, make_experiment, command.config)
        return run(module, make_experiment, command.config, command.workdir, processes=command.processes)

    report(work)


def asks_for_help(argv: list[str]) -> bool:
    """Whether a command line does."""
    return any(argument in ("-h", "--help", "-help") for argument in argv[1:])


def report(work: Callable[[], dict[str, Any]]) -> None:
    """Prints what some work returns as the last line, JSON; what the user got wrong as one sentence, exit status 1."""
    logging.set_verbosity(logging.FATAL)  # orbax tells of every file at INFO, and at ERROR at length of what it raises
    try:
        summary = work()
        if is_first():
            print(json.dumps(summary))
    except (InputError, OSError) as error:  # OSError: a full disk, a folder that may not be written to
        told = sentence_of(error)
        if told is None:
            raise
        sys.exit(f"error: {told}")


def a_path(text: str) -> Path:
    """A path of a command line, where a shell leaves the ~ of --workdir=~/DIR as it is."""
    return Path(text).expanduser()


def check_new(output: Path, *, folder: bool = False) -> None:
    """Raises InputError for an output that is there: nothing is overwritten. Makes the folder that it will lie in."""
    if os.path.lexists(output) and not (folder and output.is_dir() and not any(output.iterdir())):
        raise InputError(f"{output} is there already: name a new one.")
    output.parent.mkdir(parents=True, exist_ok=True)


def check_picture(output: Path) -> None:
    """Raises InputError for an output that is there, or whose name is not that of a PNG."""
    if output.suffix.lower() != ".png":
        raise InputError(f"--output must end in .png, not {output.name}.")
    check_new(output)


class AsWritten(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that keeps the lines of a module's docstring and tells the defaults."""


class Command(NamedTuple):
    """What a command line asks for; without a workdir, nothing is kept."""

    config: ConfigDict
    workdir: Path | None
    processes: Processes | None


def parse(argv: list[str], *, with_workdir: bool = True) -> Command:
    """What a command line asks for. Raises InputError for what it gets wrong."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "the run's config", flag_values=values)
    flags.DEFINE_string("workdir", None, "where the run is kept", flag_values=values)
    flags.DEFINE_bool("dry_run", False, "whether to tell what a step needs, and train nothing", flag_values=values)
    flags.DEFINE_string("coordinator", None, "host:port of process 0, where several train", flag_values=values)
    flags.DEFINE_integer("processes", None, "how many there are", flag_values=values)
    flags.DEFINE_integer("process", None, "which this is, from 0", flag_values=values)
    for argument in argv[1:]:
        if argument.startswith("--config=") and not Path(file := argument.removeprefix("--config=")).is_file():
            raise InputError(f"There is no config {file} (--help lists those there are).")
    try:
        rest = values(argv)[1:]
        config = values.config  # a config file that does not run says so here
        kept = (values.workdir is None) == (values.dry_run or not with_workdir)
        complete = config is not None and kept
    except (AttributeError, KeyError) as error:
        if "get_config" in str(error.args[0]):
            raise InputError("The config file has no function get_config, which returns the config.") from error
        raise InputError(f"The config has no such field: {one_line(error.args[0])} (--help lists them).") from error
    except Exception as error:  # whatever the file of a config raises, or absl and ml_collections of its fields
        # Of a message that holds a traceback, its last line says what is wrong.
        told = str(error).strip().split("\n")[-1] if "Traceback" in str(error) else error
        raise InputError(f"{one_line(told) or type(error).__name__} (--help lists the fields).") from error
    if config is not None and (missing := {*base.get_config()} - {*config}):
        raise InputError(f"The config has no field {min(missing)}: make it of configs/base.py, as those there are.")
    if rest:
        raise InputError(f"{rest[0]} is no flag: fields are given as --config.FIELD=VALUE (--help lists them).")
    if not complete:
        where = " and --workdir=DIR (or --dry_run) are both" if with_workdir else " alone is"
        raise InputError(f"--config=configs/NAME.py{where} needed (--help tells more).")
    several = (values.coordinator, values.processes, values.process)
    if any(value is None for value in several) and any(value is not None for value in several):
        raise InputError("--coordinator=HOST:PORT, --processes=N and --process=I come together (--help tells more).")
    if values.processes is not None and values.processes < 1:
        raise InputError(f"--processes must be at least 1, not {values.processes}.")
    return Command(
        config,
        None if values.workdir is None else a_path(values.workdir),
        None if values.coordinator is None else Processes(*several),
    )


def one_line(message: object) -> str:
    """A message of another library without its line breaks and quotes around the whole."""
    return " ".join(str(message).replace("\\n", ". ").replace("\\", "").split()).strip("'\"")


def load_splits(config: ConfigDict) -> Splits:
    """The three splits of the config's data set. Raises InputError unless their images are of one kind."""
    test = load_split(config, config.test_split) if config.test_split else None
    train, validation = load_split(config, config.train_split), load_split(config, config.validation_split)
    for other in (validation,) if test is None else (validation, test):
        if other.shape != train.shape:
            mine, theirs = ("x".join(map(str, images.shape)) for images in (train, other))
            raise InputError(
                f"{train.description} holds images of {mine}, but {other.description} of {theirs}: set resize or grey."
            )
    return Splits(train, validation, test)


def load_split(config: ConfigDict, name: str, *, absent: bool = False) -> Images:
    """One split of the config's data set, with the config's options; ``absent`` as of ``data.load``."""
    return load(
        config.dataset,
        name,
        data_dir=config.data_dir,
        levels=config.levels,
        bits=config.bits,
        binarize=config.binarize,
        resize=config.resize,
        grey=config.grey,
        invert=config.invert,
        labels=config.labels,
        download=config.download and not absent,
        absent=absent,
    )


def check_module(module: str, config: ConfigDict) -> None:
    """Raises InputError for a config of another experiment."""
    if module != f"experiments.{config.experiment}":
        raise InputError(f"This is a config of another experiment: run python -m experiments.{config.experiment}.")


def dry(module: str, make_experiment: MakeExperiment, config: ConfigDict) -> dict[str, Any]:
    """Prints what training would need; returns the summary that is printed as the last line. Needs no data."""
    check_module(module, config)
    jax.config.update("jax_platforms", "cpu")  # an accelerator's memory would be taken at the first look at it
    check_fields(config)
    images = load_split(config, config.train_split, absent=True)
    like = no_images(images.shape, levels=images.levels, classes=images.classes)
    shape = {"shape": images.shape, "levels": images.levels, "classes": images.classes}
    print(f"{images.description}: " + ", ".join(f"{name} {value}" for name, value in shape.items()))
    experiment = make_experiment(config, Splits(like, like, like))
    return {"dataset": config.dataset} | shape | dry_run.needs(config, experiment, images)


def run(
    module: str,
    make_experiment: MakeExperiment,
    config: ConfigDict,
    workdir: Path,
    *,
    processes: Processes | None = None,
) -> dict[str, Any]:
    """Trains and prints the table; returns the summary that is printed as the last line."""
    check_module(module, config)
    check_fields(config)
    use_all_cores(config, processes=1 if processes is None else processes.number)
    if config.compilation_cache:
        keep_compiled(config.compilation_cache)
    if processes is not None:
        if config.download:
            raise InputError("Several processes would download the same: prepare the data set first, unset download.")
        join(processes)
    splits = load_splits(config)
    experiment = make_experiment(config, splits)
    if config.start_from:
        experiment = starting_from(config.start_from, experiment)
    result = train(config, experiment, splits, workdir)
    if is_first():
        print(table(config, splits, result))
    measure, scores = result["measure"], result["scores"]["validation"]
    return {
        "dataset": config.dataset,
        "split": "validation",
        **{name: value for name, value in scores.items() if name != "data"},
        f"test_{measure}": result["scores"].get("test", {}).get(measure),
        "report": result["report"],
        "train_seconds": result["train_seconds"],
        "samples": result["samples"],
        "workdir": result["workdir"],
    }


def starting_from(weights: str, experiment: Experiment) -> Experiment:
    """An experiment whose parameters begin as weights. Raises InputError for those of another network."""
    params = load_pretrained(weights).variables
    wanted = jax.eval_shape(experiment.init, jax.random.key(0))
    mine, theirs = (
        {jax.tree_util.keystr(path): x.shape for path, x in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (wanted, params)
    )
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            raise InputError(
                f"start_from={weights} are weights of another network: {name} is {theirs.get(name, 'missing')} there, "
                f"and {mine.get(name, 'missing')} in this config."
            )
    return experiment._replace(init=lambda key: params)


def keep_compiled(folder: str) -> None:
    """Keeps all that XLA compiles in a folder, and takes from there what is the same, in this run and later ones."""
    jax.config.update("jax_compilation_cache_dir", os.path.abspath(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def use_all_cores(config: ConfigDict, *, processes: int = 1) -> None:
    """Makes each CPU core a device, as far as they divide the batches: XLA alone leaves some of them idle."""
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        sizes = (config.batch_size, config.eval_batch_size, config.at_once or config.batch_size)
        granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        cores = range(granted, 0, -1)
        jax.config.update(
            "jax_num_cpu_devices", next(n for n in cores if n == 1 or not any(size % (n * processes) for size in sizes))
        )


def table(config: ConfigDict, splits: Splits, result: dict[str, Any]) -> str:
    """Every score of the run, likelihoods beside the floor and the published ones, and what else it reports."""
    reported = [f"{words(name)}: {value}" for name, value in result["report"].items()]
    if (measure := result["measure"]) != LIKELIHOOD:
        scores = [f"{words(measure):24} {name:12} {found[measure]:10.4f}" for name, found in result["scores"].items()]
        return "\n".join([*scores, *reported])
    held_out = {name: images for name, images in splits._asdict().items() if images is not None and name != "train"}
    rows: list[tuple[str, str, float]] = []
    if config.baselines:
        independent = independent_pixels(splits.train)
        rows += [("uniform", name, uniform_nats(images)) for name, images in held_out.items()]
        rows += [
            ("independent pixels", name, independent_nats(independent, images)) for name, images in held_out.items()
        ]
    bits_a_nat = nats_to_bits_per_dim(1.0, splits.train.shape)
    for model, split, unit, value in config.published:
        rows.append((model, split, value if unit == "nats" else value / bits_a_nat))
    this = "this run" if result["score_of"] == "p(x)" else f"this run, {result['score_of']}"
    rows += [(this, name, scores["nats"]) for name, scores in result["scores"].items()]
    lines = [f"{model:24} {split:12} {nats * bits_a_nat:10.4f} {nats:10.2f}" for model, split, nats in rows]
    return "\n".join([f"{'model':24} {'split':12} {'bits/dim':>10} {'nats':>10}", *lines, *reported])


def help_text(module: str) -> str:
    """What ``--help`` prints: the fields are configs/base.py, whose comments say what each is."""
    root = Path(__file__).parent.parent / "configs"
    lines = (line.strip() for line in (root / "base.py").read_text().splitlines())
    fields = [
        line.removeprefix("config.")
        for line in lines
        if line.startswith(("config.", "# ")) and "ConfigDict()" not in line
    ]
    configs = ", ".join(sorted(path.stem for path in root.glob("*.py") if path.stem not in ("__init__", "base")))
    return HELP.format(module=module, configs=configs, fields="\n".join(fields)).strip()
