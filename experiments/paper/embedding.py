"""An image embedding by the triplet loss (FaceNet), as in section 3.3.

Picture rows: a held-out image and its nearest neighbours.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from experiments.shared.measuring import report_split
from experiments.shared.parts import Encoded, fingerprint, init_of
from pixelcnn_jax import InputError
from pixelcnn_jax.data.dataset import Dataset, read_all, take_images
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.views import rotate, symmetries
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.conditioning.encoders import Encoder
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables, apply_jitted
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Params, Pictures, required

MARGIN = 0.2  # of the triplet loss, in squared distance
SEARCHED = 1000  # held-out images to search for neighbours


@dataclass(frozen=True, kw_only=True)
class Config(Encoded):
    """Fields of ``config.embedding``."""

    rotate: bool = field(False, "augment training images by rotations and reflections")


def make_embedder(config: RunConfig, spec: ImageSpec) -> Encoder:
    """Builds the encoder, for labelled images."""
    required(spec.classes, "labels")
    return Encoder(config.section.bottleneck, spec.levels, config.section.encoder_features)


def embed(network: Encoder, variables: Variables, images: Images) -> Float[Array, "batch features"]:
    """Embeds images on the unit sphere."""
    return on_unit_sphere(apply_jitted(network, variables, images))


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: the triplet loss within a batch, without microbatches."""
    if config.train.microbatch_size is not None:
        raise InputError("config.train.microbatch_size must be None: the triplet loss compares all images of a batch.")
    network, rotations = make_embedder(config, spec), len(symmetries(*spec.shape[:2]))

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        images, labels = batch["image"], batch["label"]
        if key is not None and config.section.rotate:  # one transform per identity, to keep pairs
            keys = jax.vmap(lambda label: jax.random.fold_in(key, label))(labels)
            ways = jax.vmap(lambda key: jax.random.randint(key, (), 0, rotations))(keys)
            images, labels = rotate(images, ways), labels * rotations + ways
        number = fingerprint(images)
        # Copies include the padding of the last batch.
        return triplet_loss(embed(network, params, images), labels, copies=number[:, None] == number[None])

    def draw(params: Params, key: Key[Array, ""], source: Images) -> Pictures:
        images, places = jnp.asarray(source), embed(network, params, source)
        rows, columns = config.train.sample_rows, min(config.train.sample_columns, len(images))
        return images[jnp.argsort(squared_distances(places[:rows], places), axis=1)[:, :columns]]

    caption = "In each row a held-out image and its nearest neighbours."
    return Experiment(init_of(network, spec), loss, draw, network, "triplet_loss", "triplets", caption)


def on_unit_sphere(x: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
    """Normalises vectors to length one."""
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=1, keepdims=True) + 1e-12)


def squared_distances(
    a: Float[Array, "first features"], b: Float[Array, "second features"]
) -> Float[Array, "first second"]:
    """Computes pairwise squared distances of unit vectors."""
    return 2 - 2 * a @ b.T


def triplet_loss(
    embeddings: Float[Array, "batch features"], labels: Int[Array, " batch"], *, copies: Bool[Array, "batch batch"]
) -> Float[Array, " batch"]:
    """Computes FaceNet's semi-hard triplet loss of each anchor over its positives.

    Zero for an anchor without positive or negative.

    Args:
      embeddings: unit vectors.
      copies: true for pairs of the same image, which are no positives; the first copy stands for all.
    """
    distance = jnp.maximum(squared_distances(embeddings, embeddings), 0)
    same = labels[:, None] == labels[None]
    positive = same & ~(copies | jnp.tril(copies & same, -1).any(1)[None]) & jnp.any(~same, axis=1, keepdims=True)
    farther = ~same[:, None, :] & (distance[:, None, :] > distance[:, :, None])
    nearest_farther = jnp.min(jnp.where(farther, distance[:, None, :], jnp.inf), axis=2)
    farthest = jnp.max(jnp.where(same, 0.0, distance), axis=1, keepdims=True)
    negative = jnp.where(jnp.isfinite(nearest_farther), nearest_farther, farthest)
    losses = jnp.maximum(distance - negative + MARGIN, 0) * positive
    return jnp.sum(losses, axis=1) / jnp.maximum(jnp.sum(positive, axis=1), 1)


def check(config: RunConfig, splits: Splits) -> None:
    """Raises InputError if there are no pairs to compare."""
    if config.train.report_images:
        check_pairs(report_split(splits).subset(config.train.report_images))
    size, train_images = config.train.eval_batch_size, config.train.score_train_images or len(splits.train)
    for split in (splits.train.subset(train_images), *splits.held_out.values()):
        labels = split.labels()
        if any(len(np.unique(labels[start : start + size])) < 2 for start in range(0, len(labels), size)):
            raise InputError(f"Raise config.train.eval_batch_size: a batch of {split.description} has one identity.")


def picture_source(config: RunConfig, splits: Splits) -> Images:
    """Takes the held-out images to search."""
    images = report_split(splits)
    return take_images(images, min(len(images), SEARCHED))


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures verification of held-out images."""
    network, images = experiment.networks, report_split(splits).subset(config.train.report_images)
    embeddings = per_image(config, lambda p, b: embed(network, p, b["image"]))(params, images)
    identities, trained = ({*split.labels().tolist()} for split in (images, splits.train))
    return {
        "unseen_images": len(images),
        "unseen_identities": len(identities - trained),
        "identities_seen_in_training": len(identities & trained),
    } | verification(embeddings, images.labels())


def verification(embeddings: Float[np.ndarray, "count features"], labels: Int[np.ndarray, " count"]) -> Figures:
    """Measures verification over all pairs of images (FaceNet, section 4).

    Returns:
      "auc"; "equal_error_rate"; "verification_rate_at_far_0.01".
    """
    from sklearn.metrics import auc, roc_curve

    first, second = np.triu_indices(len(labels), 1)
    same = labels[first] == labels[second]
    false_accepts, true_accepts, _ = roc_curve(same, (embeddings @ embeddings.T)[first, second])
    # False accepts minus false rejects cross zero at the equal error rate.
    excess = false_accepts - (1 - true_accepts)
    return {
        "auc": float(auc(false_accepts, true_accepts)),
        "equal_error_rate": float(np.interp(0, excess, false_accepts)),
        "verification_rate_at_far_0.01": float(np.interp(0.01, false_accepts, true_accepts)),
    }


def check_pairs(images: Dataset) -> None:
    """Raises InputError unless there are several identities, one with several images."""
    _, counts = np.unique(images.labels(), return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        raise InputError(f"config.data.test_split needs two identities, one with two images: {images.description}.")


def identities_of(images: Dataset, count: int) -> dict[int, Int[np.ndarray, "images height width channels"]]:
    """Groups images by label: the first ``count`` identities with at least two."""
    everything = read_all(images)
    labels = everything["label"].tolist()
    identities = [label for label in dict.fromkeys(labels) if labels.count(label) > 1][:count]
    return {label: everything["image"][np.array(labels) == label] for label in identities}
