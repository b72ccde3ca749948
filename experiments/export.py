"""Keeps what a run has trained as weights: a .safetensors file, its card, and the log of the training beside it.

python -m experiments.export --workdir=runs/digits --output=digits.safetensors --trained_by="make demo"
  --hardware="2 cores of an AMD EPYC"

What cannot be seen from the weights goes into the card: the config, every score, the time it took and on what. An
unconditional run's views (``augment``) are folded into the biases. As bfloat16 a file is half as large; the scores are
then counted anew, by the rounded weights, for which the data set is read.
"""

import argparse
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments import cli, evaluate, trained
from experiments.network import make_network
from pixelcnn_jax import InputError
from pixelcnn_jax.data.views import as_they_are
from pixelcnn_jax.files import atomic_write
from pixelcnn_jax.pretrained import rounded, save_weights
from pixelcnn_jax.training.loop import read_result

MEGABYTES = 14  # what a file may have at most, to be kept in a repository


def main(argv: list[str] | None = None) -> None:
    """Writes the files; prints a summary as JSON."""
    parser = argparse.ArgumentParser("python -m experiments.export", description=__doc__, formatter_class=cli.AsWritten)
    parser.add_argument("--workdir", type=cli.a_path, required=True, help="a finished run")
    parser.add_argument("--output", type=cli.a_path, required=True, help=".safetensors file to write; must be new")
    parser.add_argument("--dtype", default="float32", help="float32 or bfloat16")
    parser.add_argument("--hardware", required=True, help="what it was trained on, as the table is to say")
    parser.add_argument("--trained_by", required=True, help="the command that trained it")
    parser.add_argument("--data_dir", help="where the data set lies, for bfloat16")
    cli.report(partial(export, parser.parse_args(argv)))


def export(arguments: argparse.Namespace) -> dict[str, Any]:
    """Restores, rounds, scores, writes."""
    workdir, output = arguments.workdir, arguments.output
    if output.suffix != ".safetensors":
        raise InputError(f"--output must end in .safetensors, not {output.name}.")
    for suffix in (".safetensors", ".json", ".jsonl"):
        cli.check_new(output.with_suffix(suffix))
    config, _ = trained.read_config(workdir)
    if config.experiment == "class_conditional" and config.map_features:
        raise InputError(f"{workdir} is of a run with map_features: the m of s = m(h) has no place in the file.")
    cli.use_all_cores(config)
    config, splits, _, params = trained.restore(workdir, "unconditional", "class_conditional")
    result = read_result(workdir)
    if result is None:
        raise InputError(f"{workdir} is of a run that is not finished: its scores are not known yet.")
    log = (workdir / "metrics.jsonl").read_bytes()
    params = jax.tree.map(np.asarray, params)
    height, width, channels = splits.train.shape
    if config.experiment == "unconditional" and config.augment:
        model = make_network(config, levels=splits.train.levels, channels=channels)
        params = trained.folded(workdir, model, params, as_they_are(1, height, width)[0])
        config.augment = 0.0
    count = sum(x.size for x in jax.tree.leaves(params))
    megabytes = count * {"float32": 4, "bfloat16": 2}.get(arguments.dtype, 0) / 1e6
    if megabytes > MEGABYTES:
        raise InputError(f"{output} would have {megabytes:.1f} MB, more than {MEGABYTES}: --dtype=bfloat16 takes half.")
    scores = result["scores"]
    if arguments.dtype != "float32":
        params = rounded(params, dtype=arguments.dtype)
        data_dir = arguments.data_dir or config.data_dir
        scores = {name: evaluate.score_of(config, params, name, data_dir) for name in scores}
    own = {"data_dir": None, "classifier": None, "unconditional": None, "single_scale": None}
    card = {
        "network": config.network,
        "model": {"levels": splits.train.levels, "channels": channels, **config.model.to_dict()},
        "condition": {"h": splits.train.classes} if config.experiment == "class_conditional" else {},
        "images": {"shape": splits.train.shape, "levels": splits.train.levels, "classes": splits.train.classes},
        "score_of": result["score_of"],
        "scores": scores,
        "parameters": count,
        "hardware": arguments.hardware,
        "trained_by": arguments.trained_by,
        **{name: result[name] for name in ("steps", "best_step", "train_seconds", "devices", "versions")},
        "config": {name: value for name, value in config.to_dict().items() if name != "images"} | own,
    }
    atomic_write(output.with_suffix(".jsonl"), log)
    try:
        save_weights(output, params, card, dtype=arguments.dtype)
    except OSError:
        output.with_suffix(".jsonl").unlink()
        raise
    return {"output": str(output), "megabytes": round(output.stat().st_size / 1e6, 2), "scores": scores}


if __name__ == "__main__":
    main()
