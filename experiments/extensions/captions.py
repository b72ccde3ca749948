"""p(x|sentence): attention to the words gives the map s of equation 5 (section 4).

Captions are dropped at random, for p(x) and guidance.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from experiments.extensions.scene_reader import accuracy_of_scenes, check_reader, one_caption_of_each, word_by_word
from experiments.shared.measuring import Classified
from experiments.shared.parts import draw_grid, drawer, init_of, nats_given_each
from pixelcnn_jax import InputError, nll
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.devices import on_one_device
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.text import PADDING
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Params, Pictures, required
from pixelcnn_jax.zoo.model_card import GIVEN_CAPTION
from pixelcnn_jax.zoo.registry import make_network

check = check_reader
MAX_CAPTIONS = 256  # captions to score each image of the report under


@dataclass(frozen=True, kw_only=True)
class Config(Classified):
    """Fields of ``config.captions``."""

    map_features: int = field(16, "hidden channels of s, the map of the sentence", min=1)
    drop_condition: float = field(0.1, "fraction of captions to drop in training, for guidance", min=0, below=1)
    guidance: float = field(0.0, "guidance of samples in picture and report", min=0)


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: nats given the caption."""
    section = config.section
    encoder = TextEncoder((spec.height, spec.width, section.map_features), required(spec.words, "captions"))
    model = ConditionalModel(make_network(config.model, spec), encoder)

    if section.guidance and not section.drop_condition:
        raise InputError("config.captions.guidance needs a training with config.captions.drop_condition above 0.")

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        captions = batch["caption"]
        if key is not None:
            key, hiding = jax.random.split(key)
            hidden = jax.random.bernoulli(hiding, section.drop_condition, (len(captions), 1))
            captions = jnp.where(hidden, PADDING, captions)
        return nll(model, params, batch["image"], h=captions, key=key)

    def draw(params: Params, key: Key[Array, ""], source: Int[np.ndarray, "rows columns words"]) -> Pictures:
        rows, columns, _ = source.shape
        keys = jnp.broadcast_to(jax.random.split(key, columns)[None], (rows, columns))
        keys = keys.at[-1].set(keys[-1, 0]).reshape(-1)  # the last row changes the sentence alone
        h = jnp.asarray(source.reshape(len(keys), -1))
        return draw_grid(model, params, keys, spec, rows, columns, h=h, guidance=section.guidance)

    caption = "Held-out captions, a row for each. In the last row one word changes at a time, the noise does not."
    init = init_of(model, spec, jnp.zeros((1, 1), jnp.int32))
    facts = {"guidance": section.drop_condition > 0}
    return Experiment(init, loss, draw, model, density=GIVEN_CAPTION, caption=caption, facts=facts)


def picture_source(config: RunConfig, splits: Splits) -> Int[np.ndarray, "rows columns words"]:
    """Takes a held-out caption per row; in the last row one word changes at a time."""
    rows, columns = config.train.sample_rows - 1, config.train.sample_columns
    batches = [read_all(split) for split in splits.held_out.values()]
    captions = one_caption_of_each(batches[-1:], splits.spec.classes)[1]
    walk = word_by_word(captions[-1], np.concatenate([batch["caption"] for batch in batches]), columns)
    selection = captions[np.arange(rows) * len(captions) // rows]
    return np.concatenate([np.repeat(selection[:, None], columns, axis=1), walk[None]])


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures nats with right, wrong and no caption, Bayes accuracy, and samples.

    Each image is scored under each distinct caption of the held-out images. If these have more than ``MAX_CAPTIONS``,
    the report keeps as many images, evenly spaced, and their captions alone.
    """
    model, held_out = experiment.networks, splits.held_out
    meanings, captions = one_caption_of_each([*map(read_all, held_out.values())], splits.spec.classes)
    if len(captions) > MAX_CAPTIONS:
        held_out = {name: split.subset(MAX_CAPTIONS // len(held_out)) for name, split in held_out.items()}
        meanings, captions = one_caption_of_each([*map(read_all, held_out.values())], splits.spec.classes)
    candidates = jnp.asarray(np.concatenate([captions, np.full_like(captions[:1], PADDING)]))
    nats_of = per_image(config, lambda p, b: nats_given_each(model, p, b["image"], candidates))
    draw = drawer(model, on_one_device(params), splits.spec, guidance=config.section.guidance)
    figures: Figures = {
        "distinct_captions": len(captions),
        "max_caption_information_nats": float(np.log(len(captions))),
    }
    for (name, split), meaning in zip(held_out.items(), meanings, strict=True):
        images = split.subset(config.train.report_images)
        right = meaning[np.arange(len(images)) * len(split) // len(images)]
        scores = caption_information(nats_of(params, images), right, np.random.default_rng(config.seed))
        scores |= accuracy_of_scenes(config, split, draw)
        figures |= {f"{name}_{key}": value for key, value in ({"images": len(images)} | scores).items()}
    return figures


def caption_information(
    nats_given: Float[np.ndarray, "images candidates"], right: Int[np.ndarray, " images"], random: np.random.Generator
) -> dict[str, float]:
    """Measures the information in captions; the last column is given none."""
    per_caption, rows, count = nats_given[:, :-1], np.arange(len(right)), nats_given.shape[1] - 1
    wrong = (right + random.integers(1, max(2, count), len(right))) % count
    return {
        "nats_with_the_right_caption": float(np.mean(per_caption[rows, right])),
        "nats_with_a_wrong_caption": float(np.mean(per_caption[rows, wrong])),
        "nats_with_no_caption": float(np.mean(nats_given[:, -1])),
        "nats_of_all_captions_mixed": float(np.mean(np.log(count) - np.logaddexp.reduce(-per_caption, axis=1))),
        "bayes_accuracy": float(np.mean(np.argmin(per_caption, axis=1) == right)),
    }
