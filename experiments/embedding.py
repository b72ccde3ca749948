"""An embedding of images by the triplet loss (FaceNet), which section 3.3 takes as the h of faces.

python -m experiments.embedding --config=configs/omniglot_embedding.py --workdir=runs/omniglot_embedding

Images of one identity come to lie near to one another on the unit sphere, and it is measured on identities that were
never seen. Each row of the picture is an unseen image and its nearest neighbours among the others.
"""

from typing import cast

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli
from pixelcnn_jax.data import first_images
from pixelcnn_jax.encoders import Encoder, on_unit_sphere, squared_distances, triplet_loss, verification
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.parameters import Params
from pixelcnn_jax.train import Batch, Experiment, Splits, evaluator


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
    network = make_network(config, splits)
    unseen = splits.validation if splits.test is None else splits.test

    def init(key: Key[Array, ""]) -> Params:
        return dict(network.init(key, jnp.zeros((1, *splits.train.shape), jnp.int32)))

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        return triplet_loss(embed(network, params, batch["image"]), batch["label"], margin=config.margin)

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        images = jnp.asarray(first_images(unseen, min(len(unseen), 1000)))
        places = embed(network, params, images)
        rows, columns = config.sample_rows, min(config.sample_columns, len(images))
        return images[jnp.argsort(squared_distances(places[:rows], places), axis=1)[:, :columns]]

    def report(params: Params) -> dict[str, float]:
        part = unseen.first(config.report_images)
        embeddings = evaluator(lambda p, b: embed(network, p, b["image"]), config)
        found = verification(embeddings(params, part), part.labels())
        return {
            "unseen_images": len(part),
            "unseen_identities": len(set(part.labels().tolist())),
            "auc": found.auc,
            "equal_error_rate": found.eer,
            "verification_rate_at_far_0.01": found.rate,
        }

    return Experiment(init, loss, draw, measure="triplet_loss", report=report)


if __name__ == "__main__":
    cli.main(make_experiment)
