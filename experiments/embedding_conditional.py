"""p(x|h), h = f(x) being an embedding by a network that is not trained further (section 3.3; figures 4, 5, 9 and 10).

python -m experiments.embedding_conditional --config=configs/omniglot_pairs.py --workdir=runs/omniglot_pairs
  --config.embedder=runs/omniglot_embedding

The embedding of an image of an identity that was never seen then gives new images of it. The picture: first rows of
an unseen image and samples given its embedding, then rows between two unseen images, which stand at the ends, samples
given embeddings on the way from one to the other, with the same noise along the row.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli, embedding, trained
from experiments.network import make_decoder
from pixelcnn_jax.data.dataset import Images, read
from pixelcnn_jax.data.views import WAYS, turn
from pixelcnn_jax.devices import on_one_device
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.encoders import between, on_unit_sphere, squared_distances
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits

IDENTITIES = 20  # among how many the nearest is looked for


def make_experiment(config: ConfigDict, splits: Splits) -> Experiment:
    """The likelihood given the image's own embedding as the loss; whose images the samples are taken for, as report."""
    (height, width, channels), levels = splits.train.shape, splits.train.levels
    if splits.train.classes is None:
        raise InputError("experiments.embedding_conditional needs identities: set labels.")
    if config.turn and height != width:
        raise InputError("Only square images can be turned: leave turn out, or set resize.")
    decoder = make_decoder(config, splits)
    network = embedding.make_network(config, splits)
    embedder = read_embedder(config, splits) if len(splits.train) else None
    unseen = splits.reported
    if len(splits.train):
        embedding.check_pairs(unseen)

    def init(key: Key[Array, ""]) -> Params:
        decoder_key, network_key = jax.random.split(key)
        image = jnp.zeros((1, height, width, channels), jnp.int32)
        # A run that is restored finds the embedding network among its own parameters.
        frozen = dict(network.init(network_key, image)) if embedder is None else embedder
        return {"decoder": decoder.init(decoder_key, config.bottleneck), "frozen": frozen}

    @jax.jit
    def place(params: Params, images: Array) -> Float[Array, "batch features"]:
        return jax.lax.stop_gradient(embedding.embed(network, params["frozen"], images))

    def h_of(places: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
        return places * jnp.sqrt(jnp.float32(config.bottleneck))  # so that its numbers are of about unit size

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        images = batch["image"]
        if key is not None and config.turn:
            key, turn_key = jax.random.split(key)
            images = turn(images, jax.random.randint(turn_key, (len(images),), 0, WAYS))
        h = h_of(place(params, images))
        if key is not None and config.embedding_noise:
            # A point on the sphere is else the number of a training image: of few images each is learned by heart.
            key, noise_key = jax.random.split(key)
            h += config.embedding_noise * jax.random.normal(noise_key, h.shape)
        return decoder.nats(params["decoder"], images, h, key)

    def draw_at(params: Params, keys: Key[Array, "..."], places: Float[Array, "batch features"]) -> Array:
        return decoder.draw(params["decoder"], keys, h_of(places))

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        rows, columns = config.sample_rows, max(3, config.sample_columns)
        images = jnp.asarray(one_of_each(unseen, rows))
        places = place(params, images)
        drawn = draw_at(params, key, jnp.repeat(places, columns - 1, axis=0))
        pairs = rows // 2
        size = (height, width, channels)
        fan = jnp.concatenate([images[:, None], drawn.reshape(rows, columns - 1, *size)], axis=1)
        if not pairs:
            return fan
        way = jnp.linspace(0, 1, columns)[1:-1]
        steps = jax.vmap(lambda a, b: jax.vmap(lambda t: between(a, b, t))(way))(
            places[:pairs], places[pairs : 2 * pairs]
        )
        keys = jnp.repeat(jax.random.split(jax.random.fold_in(key, 1), pairs), len(way))
        walked = draw_at(params, keys, steps.reshape(-1, config.bottleneck))
        ends = images[:pairs, None], images[pairs : 2 * pairs, None]
        return jnp.concatenate(
            [
                fan,
                jnp.concatenate([ends[0], walked.reshape(pairs, len(way), *size), ends[1]], axis=1),
            ]
        )

    def report(params: Params) -> dict[str, Any]:
        one, each = on_one_device(params), max(2, config.report_samples // IDENTITIES)
        identities, labels = identities_of(unseen, IDENTITIES)
        counts = np.cumsum([len(images) for images in identities])
        placed = np.split(np.asarray(place(one, jnp.asarray(np.concatenate(identities)))), counts[:-1])
        # An identity lies where its images do on average; the one that is sampled from is left out of them.
        centres = on_unit_sphere(jnp.stack([jnp.asarray(places[1:].mean(axis=0)) for places in placed]))
        sources = np.stack([images[0] for images in identities])
        given = np.repeat(np.stack([places[0] for places in placed]), each, axis=0)
        key = jax.random.key(config.seed)
        drawn = np.concatenate(
            [
                draw_at(one, jax.random.fold_in(key, i), jnp.asarray(part))
                for i, part in enumerate(np.array_split(given, -(-len(given) // 100)))
            ]
        )
        right = np.repeat(np.arange(len(identities)), each)

        # The sample before, of the same embedding.
        neighbour = np.roll(np.arange(len(drawn)).reshape(-1, each), 1, axis=1).ravel()

        def taken_for(places: Float[Array, "count features"]) -> np.ndarray:
            return np.asarray(jnp.argmin(squared_distances(places, centres), axis=1))

        known = read(splits.train)["image"]
        real = taken_for(jnp.asarray(np.stack([places[0] for places in placed])))
        return {
            "unseen_identities": len(identities),
            "identities_seen_in_training": len(labels & set(splits.train.labels().tolist())),
            "samples": len(drawn),
            "chance": 1 / len(identities),
            "samples_nearest_to_their_identity": float(np.mean(taken_for(place(one, jnp.asarray(drawn))) == right)),
            "sources_nearest_to_their_identity": float(np.mean(real == np.arange(len(identities)))),
            "difference_of_two_samples_of_an_embedding": distance(drawn, drawn[neighbour], levels),
            "difference_of_samples_from_their_source": distance(drawn, sources[right], levels),
            "difference_of_samples_from_the_nearest_training_image": nearest(drawn, known, levels),
            "difference_of_sources_from_the_nearest_training_image": nearest(sources, known, levels),
            "difference_of_two_images_of_an_identity": float(
                np.mean([distance(images[:1], images[1:2], levels) for images in identities])
            ),
        }

    return Experiment(init, loss, draw, score_of="p(x|h)", report=report)


def read_embedder(config: ConfigDict, splits: Splits) -> Params:
    """The parameters of the embedding network that the config names. Raises InputError for one of other images."""
    if not config.embedder:
        raise InputError(
            "experiments.embedding_conditional needs embedder, the workdir of a run of experiments.embedding."
        )
    run = trained.restore(config.embedder, "embedding")
    theirs, mine = run.splits.train, splits.train
    for name, found, wanted in (
        ("images", (theirs.shape, theirs.levels), (mine.shape, mine.levels)),
        ("bottleneck", run.config.bottleneck, config.bottleneck),
        ("encoder_features", tuple(run.config.encoder_features), tuple(config.encoder_features)),
    ):
        if found != wanted:
            raise InputError(f"{config.embedder} embeds with {name} {found}, but this config has {wanted}.")
    return run.params


def identities_of(images: Images, count: int) -> tuple[list[Int[np.ndarray, "images height ..."]], set[int]]:
    """The images of each of so many identities that have two, those first that come first; and which they are."""
    everything = read(images)
    labels = everything["label"]
    found, numbers = np.unique(labels, return_index=True)
    groups = [np.flatnonzero(labels == found[i]) for i in np.argsort(numbers)]
    chosen = [group for group in groups if len(group) > 1][:count]
    return [everything["image"][group] for group in chosen], {int(labels[group[0]]) for group in chosen}


def one_of_each(images: Images, count: int) -> Int[np.ndarray, "count height width channels"]:
    """The first image of each of so many identities, from the beginning again where there are fewer."""
    firsts = [of_one[0] for of_one in identities_of(images, count)[0]]
    return np.stack([firsts[i % len(firsts)] for i in range(count)])


def distance(a: np.ndarray, b: np.ndarray, levels: int) -> float:
    """Root mean squared difference of intensities 0 to 1, mean over pairs of images."""
    difference = (a.astype(np.float32) - b) / (levels - 1)
    return float(np.mean(np.sqrt(np.mean(difference**2, axis=(1, 2, 3)))))


def nearest(images: np.ndarray, known: np.ndarray, levels: int) -> float:
    """Root mean squared difference from the nearest of some known images, mean over images."""
    a, b = (x.reshape(len(x), -1).astype(np.float32) / (levels - 1) for x in (images, known))
    squares = np.maximum(np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T, 0)
    return float(np.mean(np.sqrt(np.min(squares, axis=1) / a.shape[1])))


if __name__ == "__main__":
    cli.main(make_experiment)
