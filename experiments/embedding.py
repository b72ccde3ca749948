"""An embedding of images by the triplet loss (FaceNet), which section 3.3 takes as the h of faces.

python -m experiments.embedding --config=configs/omniglot_embedding.py --workdir=runs/omniglot_embedding

Images of one identity come to lie near to one another on the unit sphere, and it is measured on identities that were
never seen. Each row of the picture is an unseen image and its nearest neighbours among the others.
"""

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli
from pixelcnn_jax.data.dataset import Images, some_images
from pixelcnn_jax.data.views import WAYS, turn
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.encoders import Encoder, on_unit_sphere, squared_distances, triplet_loss, verification
from pixelcnn_jax.models.inputs import fingerprint
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits, evaluator


def make_network(config: ConfigDict, splits: Splits) -> Encoder:
    """The embedding network, but for the projection to the sphere."""
    return Encoder(config.bottleneck, splits.train.levels, tuple(config.encoder_features))


def embed(network: Encoder, params: Params, images: Int[Array, "batch ..."]) -> Float[Array, "batch features"]:
    """Where images lie on the unit sphere."""
    return on_unit_sphere(cast(Array, network.apply(params, images)))


def make_experiment(config: ConfigDict, splits: Splits) -> Experiment:
    """The triplet loss within a batch; verification of unseen identities, which the test split holds, as the report."""
    if splits.train.classes is None:
        raise InputError("experiments.embedding needs identities: set labels.")
    if config.turn and splits.train.shape[0] != splits.train.shape[1]:
        raise InputError("Only square images can be turned: leave turn out, or set resize.")
    if config.at_once:
        raise InputError("The triplet loss compares all images of a batch: leave at_once out.")
    network = make_network(config, splits)
    unseen = splits.reported

    if len(splits.train):
        if config.report_images > 0:
            check_pairs(unseen.some(config.report_images))
        check_batches(splits.validation, config.eval_batch_size)

    def init(key: Key[Array, ""]) -> Params:
        return dict(network.init(key, jnp.zeros((1, *splits.train.shape), jnp.int32)))

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        images, labels = batch["image"], batch["label"]
        if key is not None and config.turn:  # those of an identity together, or few would be left to compare
            which = jax.vmap(lambda label: jax.random.randint(jax.random.fold_in(key, label), (), 0, WAYS))(labels)
            images, labels = turn(images, which), labels * WAYS + which
        number = fingerprint(images)
        copies = number[:, None] == number[None]  # also what fills up the last batch
        return triplet_loss(embed(network, params, images), labels, copies=copies, margin=config.margin)

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        images = jnp.asarray(some_images(unseen, min(max(len(unseen), 1), 1000)))
        places = embed(network, params, images)
        rows, columns = config.sample_rows, min(config.sample_columns, len(images))
        return images[jnp.argsort(squared_distances(places[:rows], places), axis=1)[:, :columns]]

    def report(params: Params) -> dict[str, float]:
        part = unseen.some(config.report_images)
        embeddings = evaluator(lambda p, b: embed(network, p, b["image"]), config)
        found = verification(embeddings(params, part), part.labels())
        return {
            "unseen_images": len(part),
            "unseen_identities": len(set(part.labels().tolist()) - set(splits.train.labels().tolist())),
            "identities_seen_in_training": len(set(part.labels().tolist()) & set(splits.train.labels().tolist())),
            "auc": found.auc,
            "equal_error_rate": found.eer,
            "verification_rate_at_far_0.01": found.rate,
        }

    return Experiment(init, loss, draw, measure="triplet_loss", report=report)


def check_pairs(images: Images) -> None:
    """Raises InputError unless there are several identities, and several images of one of them."""
    _, counts = np.unique(images.labels(), return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        raise InputError(f"{images.description} must hold several identities, and several images of some of them.")


def check_batches(images: Images, batch_size: int) -> None:
    """Raises InputError where a batch would have nothing to compare: images in the order of their identities."""
    labels = images.labels()
    if any(len(set(labels[i : i + batch_size].tolist())) < 2 for i in range(0, len(labels), batch_size)):
        raise InputError(
            f"Of {images.description}, {batch_size} images in a row are of one identity: choose an eval_batch_size by "
            "which each batch has several."
        )


if __name__ == "__main__":
    cli.main(make_experiment)
