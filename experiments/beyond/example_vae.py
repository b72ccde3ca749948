"""A variational auto-encoder that reads one image and draws another of its class: the code is what the two share.

The encoder reads an example in place of the image itself. Whoever has the example has its code too, so the score is the
nats of the image given a code, without a KL: a bound of -log p(x|example), by Jensen. Training adds the KL all the
same. With ``kl_weight`` 1 a nat of the code must save a nat of the image, and codes of the prior decode to new classes.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from experiments.beyond import vae
from experiments.shared.measuring import per_image, report_split
from experiments.shared.posterior import bounds, keys_of
from pixelcnn_jax.data.dataset import Dataset, Splits
from pixelcnn_jax.data.examples import ExampleSets, episodes
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.likelihood import nats
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables
from pixelcnn_jax.sampling import sample
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Params, Pictures, Training

WAYS = 20  # classes among which the report looks for that of an image


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fields of ``config.example_vae``."""

    encoder_features: tuple[int, ...] = field(
        (32, 64, 128), "feature maps of each stage of the encoder; a stage halves the image", least=1
    )
    bottleneck: int = field(10, "length of the code", least=1)
    map_features: int = field(0, "feature maps of s = m(h) (equation 5); 0 adds V h to the biases", least=0)
    kl_weight: float = field(1.0, "weight of the KL term", least=0)
    kl_warmup: int = field(0, "steps over which the weight of the KL term rises from 0", least=0)
    report_episodes: int = field(1000, "test images used in the report, each with examples of 20 classes", least=1)
    report_codes: int = field(32, "codes of an example for the bounds of the report", least=1)


def make_experiment(config: RunConfig, spec: ImageSpec, fixed: Variables | None = None) -> Experiment:
    """Returns the experiment: the nats given a code of the example as the loss; samples given codes as the picture."""
    plain, own = vae.make_experiment(config, spec), config.own
    networks, nats_given = plain.networks, partial(nats, plain.networks["decoder"])

    def loss(params: Params, batch: Batch, training: Training | None) -> Float[Array, " batch"]:
        images, q = batch["image"], vae.posterior(networks, params, batch["examples"][:, 0])
        if training is None:  # the code is drawn here too, but always the same for an image and its example
            return nats_given(params["decoder"], images, h=q.draw(keys_of(jax.random.key(config.seed), images)))
        code_key, dropout_key = jax.random.split(training.key)
        z = q.draw(jax.random.split(code_key, len(images)))
        weight = own.kl_weight * jnp.minimum(1, (training.step + 1) / max(1, own.kl_warmup))
        return nats_given(params["decoder"], images, h=z, key=dropout_key) + weight * jnp.sum(q.kl(), axis=1)

    def draw(params: Params, key: Key[Array, ""], source: Images) -> Pictures:
        """Draws rows of an example and samples given codes of it, then rows of samples given one code of the prior."""
        rows, columns, examples = config.train.sample_rows, max(2, config.train.sample_columns), jnp.asarray(source)
        keys = jax.random.split(key, 3)
        q = vae.posterior(networks, params, jnp.repeat(examples, columns, axis=0))
        of_examples = q.draw(jax.random.split(keys[0], len(q.mean)))
        of_prior = jnp.repeat(jax.random.normal(keys[1], (rows - len(source), own.bottleneck)), columns, axis=0)
        z = jnp.concatenate([of_examples, of_prior])
        drawn = sample(networks["decoder"], params["decoder"], keys[2], shape=(len(z), *spec.shape[:2]), h=z)
        return drawn.reshape(rows, columns, *spec.shape).at[: len(source), 0].set(examples)

    caption = (
        "Above, in each row an image of an unseen class and samples given codes of it. "
        "Below, in each row samples given one code of the prior."
    )
    return plain._replace(loss=loss, sample=draw, score_of="p(x|code of an example), a bound", caption=caption)


def with_an_example(images: Dataset) -> ExampleSets:
    """Returns a split as one whose images carry examples.

    Raises:
      InputError: unless each of its images has one.
    """
    if not isinstance(images, ExampleSets) or not images.fewest:
        raise InputError("config.data.fewest_examples must be at least 1: the encoder of this experiment reads one.")
    if min(map(len, images.members.values())) < 2:
        raise InputError(f"{images.description} must have at least two images of each class: choose other splits.")
    return images


def check(config: RunConfig, splits: Splits) -> None:
    """Raises InputError before any training if an image has no example."""
    for images in (splits.train, *splits.held_out.values()):
        with_an_example(images)


def picture_source(config: RunConfig, splits: Splits) -> Images:
    """Returns one image each of evenly spaced classes of the test split, for three quarters of the rows."""
    images, rows = with_an_example(report_split(splits)), -(-3 * config.train.sample_rows // 4)
    firsts = [int(members[0]) for members in images.members.values()]
    return np.stack([images.images.draw(firsts[row * len(firsts) // rows], seed=0)["image"] for row in range(rows)])


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params, fixed: Variables) -> Figures:
    """Returns the nats given codes of an example, of examples of other classes and of the prior, and what a code holds.

    The images and the examples are those of the episodes of experiment few_shot.
    """
    networks, own, images = experiment.networks, config.own, with_an_example(report_split(splits))
    chosen = episodes([images], own.report_episodes, ways=WAYS, shots=1, seed=config.seed)

    def bounds_of(params: Params, batch: Batch) -> dict[str, Array]:
        image, examples = batch["image"], jnp.moveaxis(batch["examples"][:, :, 0], 1, 0)
        given, key = partial(nats, networks["decoder"], params["decoder"], image), jax.random.key(config.seed)

        def of_class(examples: Images) -> Float[Array, " batch"]:  # codes of all classes share their noise
            return given(h=vae.posterior(networks, params, examples).draw(keys_of(key, image)))

        q = vae.posterior(networks, params, examples[batch["label"], jnp.arange(len(image))])
        found = bounds(q, lambda z: given(h=z), image, seed=config.seed, count=own.report_codes)
        return found | {"given_classes": jax.lax.map(of_class, examples).T}

    values, right = per_image(config, bounds_of)(params, chosen), chosen.labels()
    mean = {name: float(value.mean(dtype=np.float64)) for name, value in values.items()}
    of_classes = values["given_classes"]
    others = np.arange(of_classes.shape[1]) != right[:, None]
    return {
        "report_images": len(of_classes),
        "nats_given_a_code_of_an_example": mean["given_code"],
        "codes": own.report_codes,
        "nats_given_the_mixture_of_the_codes": mean["mixture"],
        "nats_given_a_code_of_another_class": float(of_classes[others].mean(dtype=np.float64)),
        "nats_given_a_code_of_the_prior": mean["given_prior"],
        "nats_without_example_importance_weighted_bound": mean["importance_weighted"],
        "kl_nats": mean["kl"],
        "accuracy_by_the_code_of_an_example_of_each_class": float(np.mean(np.argmin(of_classes, axis=1) == right)),
    }
