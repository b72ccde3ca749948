"""Widens or deepens a trained Gated PixelCNN; the larger network computes the same logits until it is trained.

python -m tools.grow cifar10 runs/cifar10_wide --features=144 --head-features=288 [--layers=12]

The new folder can be given to --config.train.start_from. New units read the old ones, but their outgoing weights to old
units start at zero; new layers are appended, and the 1x1 convolution to their residual stream starts at zero.
"""

from pathlib import Path
from typing import Any

import click
import jax
import numpy as np

from pixelcnn_jax import GatedPixelCNN, load_pretrained
from pixelcnn_jax.cli.options import check_output
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.models.colours import colour_groups
from pixelcnn_jax.models.declarations import condition_sizes
from pixelcnn_jax.zoo.pretrained import save_pretrained


def grow(model: Any, variables: Any, key: jax.Array, **larger: int | None) -> tuple[Any, Any]:
    """Returns the model with larger ``features``, ``layers`` or ``head_features``, and its variables."""
    if type(model) is not GatedPixelCNN or model.attention:
        raise InputError("Only a GatedPixelCNN without attention can be grown.")
    sizes = {"features": model.features, "layers": model.layers, "head_features": model.head_width}
    if any((larger.get(name) or size) < size for name, size in sizes.items()):
        raise InputError(f"The sizes of the model are {sizes}, and none of them can become smaller.")
    grown = model.clone(**{name: value for name, value in larger.items() if value})
    sizes, shape = condition_sizes(model, variables["params"]), (1, 8, 8)
    condition = {name: np.zeros((*shape[: 1 if name == "h" else 3], size)) for name, size in sizes.items()}
    fresh = grown.init(key, np.zeros((*shape, model.channels), np.int32), **condition)

    def embed(path: Any, new: Any, old: Any) -> np.ndarray:
        new, names = np.array(new), [entry.key for entry in path]
        stacked = int("layers" in names)
        kept = [old_units(*sizes, model.channels) for sizes in zip(old.shape, new.shape, strict=True)]
        if stacked:
            kept[0] = np.arange(old.shape[0])
            new[old.shape[0] :] *= names[-2] != "out"
        for axis in range(stacked, new.ndim - 1):
            rows = np.moveaxis(new, (axis, -1), (0, 1))
            rows[np.ix_(np.setdiff1d(np.arange(len(rows)), kept[axis]), kept[-1])] = 0
        new[np.ix_(*kept)] = old
        return new

    return grown, jax.tree_util.tree_map_with_path(embed, fresh, variables)


def old_units(old: int, new: int, channels: int) -> np.ndarray:
    """Places old features among the new: the first of each colour group."""
    if old == new:
        return np.arange(new)
    before, after = colour_groups(old, channels), colour_groups(new, channels)
    return np.concatenate([np.flatnonzero(after == c)[: (before == c).sum()] for c in range(channels)])


@click.command(cls=UserCommand)
@click.argument("name")
@click.argument("folder")
@click.option("--features", type=int)
@click.option("--layers", type=int)
@click.option("--head-features", type=int)
def main(name: str, folder: str, **larger: int | None) -> None:
    """Write the model NAME, enlarged, to FOLDER."""
    check_output(Path(folder), folder=True, name="FOLDER")
    model, variables, card = load_pretrained(name)
    fields = ("image_spec", "experiment", "measure", "density", "guidance", "views", "config")
    kept = {field: card[field] for field in fields if field in card}
    save_pretrained(folder, *grow(model, variables, jax.random.key(0), **larger), kept)


if __name__ == "__main__":
    main()
