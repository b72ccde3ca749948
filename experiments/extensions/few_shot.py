"""p(x|x1 ... xk): an image given k examples of its class, 0 to 9 (section 4).

s = m(examples) by attention (equation 5); training draws k per image. Picture rows, in pairs: samples given one example
of an unseen character, then three.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key

from experiments.shared.measuring import report_split
from experiments.shared.parts import blank, draw_grid, init_of
from pixelcnn_jax import nll
from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.data.example_sets import ExampleSets, episodes
from pixelcnn_jax.data.loading import Splits, load
from pixelcnn_jax.data.views import random_index, rotate, symmetries
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder
from pixelcnn_jax.models.inputs import ABSENT, Examples, ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Params, Pictures, required
from pixelcnn_jax.zoo.model_card import GIVEN_EXAMPLES
from pixelcnn_jax.zoo.registry import make_network

COUNTS = (0, 1, 2, 3, 4, 9)  # numbers of examples in the report, those of 1612.02192
SHOWN = 3  # examples in a row of the picture
WAYS = 20  # classes of an episode
SHOTS = (1, 5)  # examples of each class of an episode


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fields of ``config.few_shot``; see also ``config.data.max_examples``."""

    map_features: int = field(32, "hidden channels of s = m(examples) (equation 5)", min=1)
    encoder_features: tuple[int, ...] = field((24, 64), "hidden channels of examples at half and quarter size", min=1)
    heads: int = field(4, "attention heads, a divisor of the last encoder_features", min=1)
    augment: float = field(0.0, "fraction of training images to augment, with their examples", min=0, max=1)
    report_episodes: int = field(1000, "20-way episodes of each kind in the report", min=0)
    alphabets: tuple[str, ...] = field((), "splits of one alphabet each, for episodes within one alphabet")


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: nats given the examples of the batch."""
    section, most = config.section, required(config.data.max_examples, "max_examples")
    shape = (spec.height, spec.width, section.map_features)
    encoder = SetEncoder(shape, spec.levels, most, section.encoder_features, section.heads)
    model = ConditionalModel(make_network(config.model, spec), encoder)

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        image, examples = batch["image"], batch["examples"]
        if key is not None and section.augment:  # each transform makes new characters
            key, view_key = jax.random.split(key)
            ways = random_index(view_key, len(image), section.augment, range(1, len(symmetries(*spec.shape[:2]))))
            image, examples = rotate(image, ways), jax.vmap(rotate, (1, None), 1)(examples, ways)
        return nll(model, params, image, h=examples, key=key)

    def draw(params: Params, key: Key[Array, ""], source: Integer[np.ndarray, "rows shown height width 1"]) -> Pictures:
        columns = max(1, config.train.sample_columns - source.shape[1])
        h = jnp.repeat(jnp.asarray(source), columns, axis=0)
        drawn = draw_grid(model, params, key, spec, len(source), columns, h=h)
        return jnp.concatenate([jnp.maximum(source, 0), drawn], axis=1)

    caption = "In each row one or three examples, and samples given them."
    init = init_of(model, spec, blank(spec)[None])
    facts = {"guidance": not config.data.min_examples}  # the empty set is "no condition"
    return Experiment(init, loss, draw, model, density=GIVEN_EXAMPLES, caption=caption, facts=facts)


def picture_source(config: RunConfig, splits: Splits) -> Integer[np.ndarray, "rows shown height width channels"]:
    """Takes examples of evenly spaced test characters, one and three in turn."""
    images, pairs = with_all_examples(report_split(splits)), -(-config.train.sample_rows // 2)
    firsts = [members[0] for members in images.members.values()]
    indices = [firsts[pair * len(firsts) // pairs] for pair in range(pairs)]
    examples = np.stack([images.get(int(i), seed=0)["examples"][:SHOWN] for i in indices]).repeat(2, axis=0)
    examples[::2, 1:] = ABSENT
    return examples[: config.train.sample_rows]


def with_all_examples(images: Dataset) -> ExampleSets:
    """Copies a split whose images carry all examples."""
    assert isinstance(images, ExampleSets)  # as config.data.max_examples is not 0
    return replace(images, min_examples=images.max_examples)


def episodes_of_report(config: RunConfig, splits: Splits) -> dict[str, Dataset]:
    """Draws the episodes of the report, by number of examples and source of classes."""
    count = config.section.report_episodes
    if not count:
        return {}
    alphabets = progress_bar(config.section.alphabets, "reading alphabets", delay=2, leave=False)
    pools_of = {
        "across_alphabets": [with_all_examples(report_split(splits))],
        "within_an_alphabet": [with_all_examples(load(split=split, **vars(config.data))) for split in alphabets],
    }
    return {
        f"{shots}_shot_{kind}": episodes(pools, count, ways=WAYS, shots=shots, seed=config.seed)
        for kind, pools in pools_of.items()
        for shots in SHOTS
        if pools and shots <= config.data.max_examples
    }


def check(config: RunConfig, splits: Splits) -> None:
    """Raises InputError if the episodes of the report cannot be drawn."""
    if config.train.report_images:
        episodes_of_report(config, splits)


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures nats by number of examples, and classification by Bayes' rule.

    "Both ways" multiplies p(x | e) / p(x) and p(e | x) / p(e), equal for an exact model.
    """
    model, images = experiment.networks, with_all_examples(report_split(splits))
    counts = [count for count in COUNTS if count <= config.data.max_examples]

    def of_each_count(params: Params, batch: Batch) -> Float[Array, "batch counts"]:
        return jnp.stack([nll(model, params, batch["image"], h=batch["examples"][:, :k]) for k in counts], axis=1)

    def of_each_class(params: Params, batch: Batch) -> Float[Array, "batch ways directions"]:
        image, sets = batch["image"], jnp.moveaxis(batch["examples"], 1, 0)

        def of_class(examples: Examples) -> Float[Array, "directions batch"]:
            conditional = nll(model, params, image, h=examples)
            if examples.shape[1] > 1:
                return conditional[None]
            back, alone = (nll(model, params, examples[:, 0], h=image[:, None][:, :k]) for k in (1, 0))
            return jnp.stack([conditional, conditional + back - alone])

        return jnp.transpose(jax.lax.map(of_class, sets), (2, 0, 1))

    few = images.subset(config.train.report_images)
    values, sizes = per_image(config, of_each_count)(params, few), [len(images.members[int(x)]) for x in few.labels()]
    given = {k: values[np.array(sizes) > k, i] for i, k in enumerate(counts)}  # of classes of more than k images
    figures: Figures = {f"nats_given_{k}": float(x.mean()) for k, x in given.items() if len(x)}
    nats_of = per_image(config, of_each_class)
    for name, dataset in episodes_of_report(config, splits).items():
        nats = nats_of(params, dataset)
        figures[f"ways_{name}"] = nats.shape[1]  # fewer than 20 if there are fewer classes
        right = np.mean(np.argmin(nats, axis=1) == dataset.labels()[:, None], axis=0)
        for way, accuracy in zip(("", "_both_ways"), right, strict=False):  # both for single examples alone
            figures[f"accuracy_{name}{way}"] = float(accuracy)
    return figures | {"report_images": len(values), "episodes": config.section.report_episodes}
