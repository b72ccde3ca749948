"""The likelihood of a whole split by trained weights: the number that a table prints, derived again.

python -m experiments.evaluate --weights=digits [--split=test] [--data_dir=DIR] [--dtype=bfloat16]

With another --dtype than that of training it tells what computing in it costs.
"""

import argparse
import math
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import cli, trained
from pixelcnn_jax.data.dataset import no_images
from pixelcnn_jax.devices import data_mesh, replicated
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.autoregressive import DTYPES
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.pretrained import load_pretrained, pretrained_names, read_card
from pixelcnn_jax.training.loop import Splits, evaluator, score

SPLITS = ("train", "validation", "test")


def main(argv: list[str] | None = None) -> None:
    """Scores a split; prints a summary as JSON."""
    parser = argparse.ArgumentParser(
        "python -m experiments.evaluate", description=__doc__, formatter_class=cli.AsWritten
    )
    names = ", ".join(pretrained_names())
    parser.add_argument("--weights", required=True, help=f"a name ({names}), or the path of a .safetensors file")
    parser.add_argument("--split", default="test", choices=SPLITS, help="as the config of the weights has it")
    parser.add_argument("--data_dir", help="where TFDS keeps its data sets; its own default if not given")
    parser.add_argument("--dtype", choices=DTYPES, help="what the layers compute in; as in training if not given")
    arguments = parser.parse_args(argv)
    cli.report(partial(evaluate, arguments.weights, arguments.split, arguments.data_dir, dtype=arguments.dtype))


def evaluate(weights: str | Path, split: str, data_dir: str | None, *, dtype: str | None = None) -> dict[str, Any]:
    """The summary of a split. Raises InputError for weights or data that cannot be had."""
    _, card = read_card(weights)
    if not {"config", "scores"} <= card.keys():
        raise InputError(f"The card of {weights} does not say what they were trained and scored on: config and scores.")
    if split not in card["scores"]:
        raise InputError(f"{weights} were not scored on {split}, but on {', '.join(card['scores'])}.")
    try:
        config = trained.config_from(card["config"])
        trained.module_of(config)
        other = {"network": card["network"], **card["model"]}
        if any(other.get(name, value) != value for name, value in {"network": config.network, **config.model}.items()):
            raise ValueError("its config is of another network")
    except (KeyError, TypeError, ValueError, AttributeError, ImportError) as error:
        raise InputError(f"The card of {weights} cannot be used: {cli.one_line(error)}.") from error
    config.model.dtype = dtype or config.model.dtype
    cli.use_all_cores(config)  # before the first array
    found = score_of(config, load_pretrained(weights).variables, split, data_dir, like=card.get("images"))
    if not math.isfinite(found["nats"]):
        raise InputError(f"{weights} give no finite likelihood.")
    return {
        "weights": str(weights),
        "dataset": card["config"]["dataset"],
        "split": split,
        "images": found["images"],
        "nats": found["nats"],
        "bits_per_dim": found["bits_per_dim"],
        **({} if dtype is None else {"dtype": dtype}),
    }


def score_of(
    config: ConfigDict, params: Params, split: str, data_dir: str | None, *, like: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The score of one split by an experiment's parameters, as training would count it.

    Raises InputError for images that are not ``like`` those of training, a card's "images".
    """
    config = config.copy_and_resolve_references()
    config.data_dir = data_dir
    # What is computed at once must be what these devices can share; a score does not depend on it.
    devices = data_mesh().size
    config.at_once = config.at_once and math.lcm(config.at_once, devices)
    shared = config.at_once or devices
    config.eval_batch_size = math.ceil(config.eval_batch_size / shared) * shared
    images = cli.load_split(config, config[f"{split}_split"])
    if split == "train" and config.train_scored is not None:
        images = images.some(config.train_scored)
    found = {"shape": list(images.shape), "levels": images.levels, "classes": images.classes}
    if like is not None and like != found:
        raise InputError(f"{images.description} holds images of {found}, but the weights are of {like}.")
    none = no_images(images.shape, levels=images.levels, classes=images.classes)
    experiment = trained.module_of(config).make_experiment(config, Splits(none, none))
    with jax.default_matmul_precision("highest"):  # where float32 products are else made of fewer bits: GPU, TPU
        losses = evaluator(lambda params, batch: experiment.loss(params, batch, None), config)(
            jax.device_put(jax.tree.map(np.asarray, params), replicated(data_mesh())), images
        )
    return score(losses, images, measure=experiment.measure)


if __name__ == "__main__":
    main()
