"""What the parts of the Gated PixelCNN are worth: the same training without each, at as many parameters, by seeds.

python -m experiments.ablations --config=configs/digits_ablations.py --workdir=runs/digits_ablations

Each variant of ``config.variants`` is trained ``config.seeds`` times, in a folder of its own in the workdir, by the one
train loop; its features are as many as bring its parameters nearest to those of the network with all its parts. Printed
is the best validation likelihood: its mean, its standard deviation over the seeds, and how far it is from the whole
network's. The same command goes on where it was stopped. It knows no --dry_run.
"""

import math
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli
from experiments.ablated import AblatedPixelCNN
from experiments.unconditional import experiment_of
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Bias, Kernel, Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits, check_fields, train

WHOLE = "whole"
VARIANTS: dict[str, dict[str, Any]] = {
    WHOLE: {},
    "relu": {"gated": False},
    "one stack": {"two_stacks": False},
    "vertical residual": {"vertical_residual": True},
    "5x5": {"kernel_size": 5},
    "first 3x3": {"first_kernel_size": 3},
    "blue first": {},
    "green first": {},
}
COLOURS = {"blue first": (2, 1, 0), "green first": (1, 0, 2)}  # the order in which they are predicted


def main(argv: list[str] | None = None) -> None:
    """Trains what is not trained yet, prints the table; a summary as JSON."""
    argv = list(sys.argv) if argv is None else argv
    if cli.asks_for_help(argv):
        print(__doc__)
        return
    cli.report(lambda: ablations(argv))


def ablations(argv: list[str]) -> dict[str, Any]:
    """The likelihoods of every variant. Raises InputError for a variant that there is none of."""
    command = cli.parse(argv)
    config = command.config
    cli.check_module("experiments.ablations", config)
    unknown = [name for name in config.variants if name not in VARIANTS]
    if unknown or config.variants[:1] != (WHOLE,):
        raise InputError(f"variants must be {WHOLE} and then some of {', '.join(list(VARIANTS)[1:])}.")
    if command.workdir is None or config.seeds < 2:
        raise InputError("Ablations need a --workdir, and at least two seeds for a spread.")
    if command.processes is not None or config.start_from or config.augment:
        raise InputError("Ablations begin anew in one process, without augment: leave out what says otherwise.")
    cli.use_all_cores(config)
    if config.compilation_cache:
        cli.keep_compiled(config.compilation_cache)
    check_fields(config)
    splits = cli.load_splits(config)
    if splits.train.shape[2] != 3 and any(name in COLOURS for name in config.variants):
        raise InputError(f"An order of colours needs three channels, not {splits.train.shape[2]}.")
    models = {name: variant(config, name, splits) for name in config.variants}
    found = {name: trained(config, name, model, splits, command.workdir) for name, model in models.items()}
    print(f"{'variant':20} {'features':>8} {'parameters':>10} {'bits/dim':>10} {'spread':>8} {'nats':>9} {'beyond':>8}")
    for name, row in found.items():
        beyond = row["nats"] - found[WHOLE]["nats"]
        print(
            f"{name:20} {row['features']:8} {row['parameters']:10} {row['bits_per_dim']:10.4f} {row['spread']:8.4f} "
            f"{row['nats']:9.3f} {beyond:8.3f}"
        )
    return {"data": splits.validation.description, "seeds": config.seeds, "variants": found}


def trained(config: ConfigDict, name: str, model: AblatedPixelCNN, splits: Splits, workdir: Path) -> dict[str, Any]:
    """The figures of one variant over all seeds: mean bits/dim of validation and its spread, mean nats."""
    results = []
    for seed in range(config.seeds):
        this = config.copy_and_resolve_references()
        with this.unlocked():
            this.seed, this.network = seed, type(model).__name__
            this.variants, this.seeds = (name,), 1  # so that others can be added to a study
            this.model.update(VARIANTS[name] | {"features": model.features})
        experiment = reordered(experiment_of(model, this, splits), COLOURS.get(name, ()))
        results.append(train(this, experiment, splits, workdir / f"{name.replace(' ', '_')}_{seed}"))
    scores = [result["scores"]["validation"] for result in results]
    return {
        "features": model.features,
        "parameters": results[0]["parameters"],
        "bits_per_dim": mean(score["bits_per_dim"] for score in scores),
        "spread": stdev(score["bits_per_dim"] for score in scores),
        "nats": mean(score["nats"] for score in scores),
        "each": [score["bits_per_dim"] for score in scores],
    }


def reordered(experiment: Experiment, order: tuple[int, ...]) -> Experiment:
    """An experiment whose network sees the channels in another order than they are stored; none leaves it."""
    if not order:
        return experiment
    colours, back = np.array(order), np.argsort(order)

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        return experiment.loss(params, batch | {"image": batch["image"][..., colours]}, key)

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        return experiment.sample(params, key)[..., back]

    return experiment._replace(loss=loss, sample=draw)


def variant(config: ConfigDict, name: str, splits: Splits) -> AblatedPixelCNN:
    """A variant as wide as brings its parameters nearest to those of the whole network."""
    sizes: dict[str, Any] = {"levels": splits.train.levels, "channels": splits.train.shape[2]}
    whole = AblatedPixelCNN(**sizes, **config.model)
    part = AblatedPixelCNN(**sizes, **(config.model.to_dict() | VARIANTS[name]))
    widths = range(max(sizes["channels"], whole.features // 2), 2 * whole.features + 1)
    wanted = count(whole)
    return min((part.clone(features=width) for width in widths), key=lambda model: abs(count(model) - wanted))


def count(model: AblatedPixelCNN) -> int:
    """Its parameters, from their shapes."""
    shapes = model.parameter_shapes(Condition())
    leaves = {
        name: jax.tree.leaves(part, is_leaf=lambda x: isinstance(x, Kernel | Bias)) for name, part in shapes.items()
    }
    sizes = {name: sum(math.prod(leaf.inputs + leaf.outputs) for leaf in part) for name, part in leaves.items()}
    return sum(size * (model.layers if name == "layers" else 1) for name, size in sizes.items())


if __name__ == "__main__":
    main()
