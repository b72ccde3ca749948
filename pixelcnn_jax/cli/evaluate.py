"""The command ``evaluate``: the likelihood of a split."""

import math
from collections.abc import Callable
from typing import Any

import click
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pixelcnn_jax.cli import options
from pixelcnn_jax.code_model import BITS_OF_CODES, CodeModel
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.views import symmetries, views
from pixelcnn_jax.foundation.devices import use_all_cores
from pixelcnn_jax.foundation.errors import InputError, require
from pixelcnn_jax.likelihood import nll
from pixelcnn_jax.models.conditioning.conditional_model import part_of
from pixelcnn_jax.training.config import TrainConfig
from pixelcnn_jax.training.evaluation import finite_values, make_evaluator, score, summarise

MAX_BATCH, MAX_RESIZED = 1024, 2**13  # batch size and side of an image cut into patches, whatever a card says
SPLITS = ("train", "validation", "test")
MEANS = {"mirrored": "the image and its mirror image", "views": "the symmetries of the image"}


@click.command()
@options.model_argument
@click.option("--split", type=click.Choice(SPLITS), default="test", help="Split of the model's config.")
@click.option("--data-dir", help="Folder of the data set. [default: that of TFDS]")
@click.option(
    "--mean-over", type=click.Choice(MEANS), help="Average p(x) over mirror images, or p(x | view) over views."
)
@options.json_option
def evaluate(name: str, split: str, data_dir: str | None, mean_over: str | None, as_json: bool) -> None:
    """Compute the likelihood of a split of a data set."""
    use_all_cores()
    figures = evaluate_split(options.load_density(name, codes=not mean_over), split, data_dir, mean_over=mean_over)
    interval = " (95 % {interval[0]:.2f} to {interval[1]:.2f})" if figures.get("interval") else ""
    scored = f"{{nats:.2f}} nats{interval}, {{bits_per_dim:.4f}} bits/dim"
    if BITS_OF_CODES in figures:
        scored = "{bits_of_codes:.2f} bits of codes, which are no likelihood of pixels"
    sentence = f"{{data}}: {{images:,}} images, {scored}".format(**figures)
    sentence += f", mean over {MEANS[mean_over]}" if mean_over else ""
    options.report({"model": name, "split": split, "mean_over": mean_over} | figures, sentence, as_json=as_json)


def evaluate_split(
    density: options.Density, split: str, data_dir: str | None, *, mean_over: str | None = None
) -> dict[str, Any]:
    """Scores a split: data, images, nats, their 95 % interval (None for one image or for patches), bits_per_dim.

    Args:
      mean_over: transforms over which to average densities.

    Raises:
      InputError: for a missing config, missing or different data, or an h that names no views.
    """
    data, train = density.data, density.settings("train", TrainConfig)
    name = getattr(data, f"{split}_split")
    has_h = {"caption": data.captions, "examples": data.max_examples}.get(str(density.part), True)  # not from ``fit``
    if "data" not in density.card["config"] or not has_h:
        raise InputError(f"{density.name} does not record its data set: use pixelcnn_jax.evaluate on an array.")
    if not name:
        other = "train" if split == "validation" else "validation"
        raise InputError(f"{density.name} has no {split} split: use --split={other}.")
    if data.dataset in ("array", "folder") and data_dir is None:
        raise InputError(f"{density.name} was trained on local data: pass a folder or .npz file with --data-dir.")
    examples = getattr(density.conditioner, "max_examples", 0)
    largest = MAX_RESIZED if data.patch else max(density.spec.shape[:2])
    if max(data.resize or 0, data.height or 0) > largest or data.max_examples > examples:
        raise InputError(f"{density.name} has a config.data.resize or max_examples larger than its model allows.")
    # Untrusted cards choose neither the folder nor a download.
    try:
        dataset = load(split=name, **vars(data) | {"data_dir": data_dir, "download": False})
    except ModuleNotFoundError as error:  # of the library that reads the data set
        require(str(error.name), extra="train", what="evaluate")
        raise
    if split == "train" and train.score_train_images:
        dataset = dataset.subset(train.score_train_images)
    if dataset.spec != density.spec:
        raise InputError(f"{dataset.description} has images of {dataset.spec}, not {density.spec} as {density.name}.")

    seen = _named_views(density) if mean_over == "views" else None

    def loss(variables: Any, batch: Any) -> Array:
        images, h = batch["image"], density.h_in(batch)
        if mean_over is None:
            return density.loss(variables, images, h)

        def of_view(view: tuple[Array, Array]) -> Array:
            network, named = density.model.network, jnp.full(len(images), view[1])
            return nll(network, part_of(variables, "network"), view[0], h=named)

        if seen is None:
            pair = jnp.stack([images, jnp.flip(images, 1 if data.scan == "columns" else 2)])
            scores = jax.lax.map(lambda x: nll(density.model, variables, x, h=h), pair)
        else:
            scores = jax.lax.map(of_view, (jnp.stack([x(images) for x in seen.values()]), jnp.array([*seen])))
        return math.log(len(scores)) - jax.nn.logsumexp(-scores, axis=0)

    micro, most = train.microbatch_size, options.at_most(MAX_BATCH, density.spec)
    batch_size = min(train.eval_batch_size, most)
    losses_of = make_evaluator(loss, batch_size=batch_size, microbatch_size=micro and min(micro, most))
    losses = finite_values(losses_of, density.variables, dataset)
    if isinstance(density.model, CodeModel):
        return score(losses, dataset, measure=BITS_OF_CODES)
    # Patches of an image are alike, so an interval that took them for independent would be too narrow.
    interval = summarise(losses, dataset.spec).interval if len(losses) > 1 and data.patch is None else None
    return score(losses, dataset) | {"interval": interval}


def _named_views(density: options.Density) -> dict[int, Callable[[Array], Array]]:
    """Selects the symmetries that a model was trained on, by their index in h."""
    height, width, _ = density.spec.shape
    named, size = density.card["views"], getattr(density.conditioner, "size", None)
    if named is None or size != len(views(height, width)):
        raise InputError(f"--mean-over=views needs a model whose h names the view, not {density.name}.")
    return {index: view for index, view in enumerate(symmetries(height, width)) if index in named}
