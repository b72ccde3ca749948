"""p(x|h), h an embedding by a fixed network (section 3.3; figures 4, 5, 9 and 10).

Picture rows: an unseen image and samples given its embedding; below, interpolations between the unseen images at both
ends, with one noise per row.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from experiments.paper import embedding
from experiments.shared.measuring import check_experiment, draw_in_parts, report_split
from experiments.shared.parts import Mapped, blank, draw_grid, drawer, init_of_each, make_conditional
from pixelcnn_jax import InputError, load_pretrained, nll
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.views import rotate, symmetries
from pixelcnn_jax.foundation.devices import on_one_device
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig, run_keys
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Networks, Params, Pictures
from pixelcnn_jax.zoo.registry import describe

IDENTITIES = 20  # identities to choose from

Places = Float[Array, "batch features"]  # on the unit sphere


@dataclass(frozen=True, kw_only=True)
class Config(embedding.Config, Mapped):
    """Fields of ``config.embedding_conditional``."""

    embedder: str | None = field(None, "workdir of the embedding network")
    embedding_noise: float = field(0.0, "standard deviation of training noise on h", min=0)


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: nats given the image's own embedding."""
    section = config.section
    decoder = make_conditional(config.model, spec, map_features=section.map_features)
    networks: Networks = {"decoder": decoder, "embedder": embedding.make_embedder(config, spec)}
    # A dry run has no embedder and needs shapes only.
    embedder = (prepared or {}).get("embedder") or networks["embedder"].init(jax.random.key(0), blank(spec))

    init = init_of_each(networks, {"decoder": (blank(spec), jnp.zeros((1, section.bottleneck)))})

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        images = batch["image"]
        if key is not None and section.rotate:
            key, rotate_key = jax.random.split(key)
            images = rotate(images, jax.random.randint(rotate_key, (len(images),), 0, len(symmetries(*spec.shape[:2]))))
        h = scaled(embedding.embed(networks["embedder"], embedder, images))
        if key is not None and section.embedding_noise:
            # Without noise a small training set is memorised by its points on the sphere.
            key, noise_key = jax.random.split(key)
            h += section.embedding_noise * jax.random.normal(noise_key, h.shape)
        return nll(decoder, params["decoder"], images, h=h, key=key)

    def draw(params: Params, key: Key[Array, ""], source: Images) -> Pictures:
        rows, columns = len(source), max(3, config.train.sample_columns)
        images, places = jnp.asarray(source), embedding.embed(networks["embedder"], embedder, source)
        h = scaled(jnp.repeat(places, columns - 1, axis=0))
        drawn = draw_grid(decoder, params["decoder"], key, spec, rows, columns - 1, h=h)
        fans = jnp.concatenate([images[:, None], drawn], axis=1)
        pairs, way = rows // 2, jnp.linspace(0, 1, columns)[1:-1]
        if not pairs:
            return fans
        steps = between(places[:pairs, None], places[pairs : 2 * pairs, None], way[None, :, None])
        keys = jnp.repeat(jax.random.split(jax.random.fold_in(key, 1), pairs), len(way))
        h = scaled(steps.reshape(-1, section.bottleneck))
        walked = draw_grid(decoder, params["decoder"], keys, spec, pairs, len(way), h=h)
        walks = jnp.concatenate([images[:pairs, None], walked, images[pairs : 2 * pairs, None]], axis=1)
        return jnp.concatenate([fans, walks])

    caption = "An unseen image and samples given its embedding; below, interpolations between the two at the ends."
    return Experiment(init, loss, draw, networks, density="p(x|h)", caption=caption)


def scaled(places: Places) -> Float[Array, "batch features"]:
    """Scales embeddings to entries of about unit size."""
    return places * jnp.sqrt(jnp.float32(places.shape[1]))


def between(
    a: Float[Array, "... features"], b: Float[Array, "... features"], share: Float[Array, "..."]
) -> Float[Array, "... features"]:
    """Interpolates from a to b along the great circle (slerp); ``share`` broadcasts."""
    angle = jnp.arccos(jnp.clip(jnp.sum(a * b, axis=-1, keepdims=True), -1 + 1e-6, 1 - 1e-6))
    return (jnp.sin((1 - share) * angle) * a + jnp.sin(share * angle) * b) / jnp.sin(angle)


def check(config: RunConfig, splits: Splits) -> None:
    """Raises InputError if there are no pairs, or the embedder does not fit."""
    embedding.check_pairs(report_split(splits))
    prepare(config, splits)


def prepare(config: RunConfig, splits: Splits) -> Variables:
    """Loads the embedder; raises InputError if it does not fit."""
    if config.section.embedder is None:
        raise InputError("config.embedding_conditional.embedder must be the workdir of a run of experiment embedding.")
    model, variables, card = load_pretrained(config.section.embedder)
    check_experiment(config, config.section.embedder, card, "embedding")
    described, target = describe(model), describe(embedding.make_embedder(config, splits.spec))
    if described != target or card["image_spec"].shape != splits.spec.shape:
        raise InputError(
            f"config.embedding_conditional.embedder must be {target} for images of {splits.spec.shape}, got "
            f"{described} for {card['image_spec'].shape}: use the bottleneck and encoder_features of that run."
        )
    return {"embedder": variables}


def picture_source(config: RunConfig, splits: Splits) -> Images:
    """Takes the first image of each identity, repeated to fill the rows."""
    firsts = [images[0] for images in embedding.identities_of(report_split(splits), config.train.sample_rows).values()]
    return np.stack([firsts[i % len(firsts)] for i in range(config.train.sample_rows)])


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures how often a sample is nearest to the identity that it was drawn from."""
    networks = experiment.networks
    members = embedding.identities_of(report_split(splits), IDENTITIES)
    identities, count = list(members.values()), len(members)

    def place(images: Images) -> Places:
        return embedding.embed(networks["embedder"], params["embedder"], jnp.asarray(images))

    placed = np.split(np.asarray(place(np.concatenate(identities))), np.cumsum([*map(len, identities)])[:-1])
    # Centres leave out the image that is sampled from.
    centres = embedding.on_unit_sphere(jnp.stack([places[1:].mean(axis=0) for places in placed]))

    def accuracy(places: Places, right: Int[np.ndarray, " images"]) -> float:
        return float(np.mean(np.argmin(embedding.squared_distances(places, centres), axis=1) == right))

    places = np.stack([places[0] for places in placed])
    draws = max(2, config.train.report_samples // count)
    embeddings, right = np.repeat(places, draws, axis=0), np.repeat(np.arange(count), draws)
    draw = drawer(networks["decoder"], on_one_device(params["decoder"]), splits.spec)
    drawn = draw_in_parts(lambda key, h: draw(key, scaled(h)), run_keys(config).report, embeddings)
    seen = len(members.keys() & set(splits.train.labels().tolist()))
    return {
        "unseen_identities": count - seen,
        "identities_seen_in_training": seen,
        "samples": len(drawn),
        "chance": 1 / count,
        "samples_nearest_to_their_identity": accuracy(place(drawn), right),
        "sources_nearest_to_their_identity": accuracy(jnp.asarray(places), np.arange(count)),
    }
