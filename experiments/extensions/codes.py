"""The prior of a tokenizer's codes, given the caption, else the label, else nothing, as the data has them.

With ``config.codes.coarse_tokenizer`` there are two levels: coarse codes, and fine ones of which the coarse are the map
s. The score is the bits of all codes of an image, which are no likelihood of its pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from experiments.shared.measuring import check_experiment
from experiments.shared.parts import blank, init_of_each
from pixelcnn_jax import InputError, load_pretrained, sample
from pixelcnn_jax.code_model import BITS_OF_CODES, TOKENIZERS, CodeModel
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.checks import check_values
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.custom_loggers import imported_function
from pixelcnn_jax.training.experiment import Batch, Experiment, Networks, Params, Pictures
from pixelcnn_jax.zoo.model_card import GIVEN_CAPTION, GIVEN_LABEL, UNCONDITIONAL
from pixelcnn_jax.zoo.registry import make_network


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fields of ``config.codes``."""

    tokenizer: str | None = field(None, "workdir of the tokenizer; None if the data holds codes")
    coarse_tokenizer: str | None = field(None, "workdir of one of a larger factor, for two levels of codes")
    decoder: str | None = field(None, 'if the data holds codes, a function from them to images, as "module:function"')
    show_nearest: bool = field(False, "show each sample with its nearest training image to the right")


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: bits of the codes; decoded samples, a row for each class or caption."""
    section = config.section
    changed = config.data.scan != "rows" or config.data.invert or section.coarse_tokenizer
    if bool(section.tokenizer) == bool(section.decoder) or (section.decoder and changed):
        raise InputError("Set config.codes.tokenizer, or for data of codes only decoder, without data.scan and invert.")
    decode = imported_function(section.decoder, "config.codes.decoder") if section.decoder else None
    networks, variables = load_tokenizers(config, spec, prepared or {})
    inputs = add_priors(config, spec, networks, variables)
    levels = None if decode is None else 256

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        return CodeModel(networks, {**params, **variables}).bits(batch["image"], h=condition(spec, batch), key=key)

    def draw(params: Params, key: Key[Array, ""], source: Mapping[str, Any]) -> Pictures:
        rows, columns = config.train.sample_rows, config.train.sample_columns
        size, h = (rows * columns, spec.height, spec.width), source["h"]
        if decode is None:
            images = CodeModel(networks, {**params, **variables}).sample(key, shape=size, h=h)
        else:
            images = decode(sample(networks["prior"], params["prior"], key, shape=size, h=h))
        check_values(np.asarray(images), levels or spec.levels, name="the images of config.codes.decoder")
        pictures = [np.asarray(images, np.int32)]
        if section.show_nearest:
            train = source["train"] if decode is None else np.asarray(decode(source["train"]), np.int32)
            pictures.append(nearest(pictures[0], train))
        return np.stack(pictures, axis=1).reshape(rows, -1, *pictures[0].shape[1:])

    density = GIVEN_CAPTION if spec.words else GIVEN_LABEL if spec.classes else UNCONDITIONAL
    caption = "Samples, drawn as codes and decoded" + ", one class per row" * (density == GIVEN_LABEL)
    caption += "; to the right of each its nearest training image" * section.show_nearest
    init = init_of_each(networks, inputs)
    facts = {"guidance": False}
    return Experiment(init, loss, draw, networks, BITS_OF_CODES, density, f"{caption}.", facts, picture_levels=levels)


def load_tokenizers(config: RunConfig, spec: ImageSpec, prepared: Variables) -> tuple[Networks, Variables]:
    """Loads the tokenizers of a config; none if the data holds codes.

    Raises:
      InputError: if one is lost, does not fit the images, or was trained again since it was prepared.
    """
    networks, variables = Networks(), dict[str, Any]()
    runs = {name: run for name in TOKENIZERS.values() if (run := getattr(config.section, name))}
    for name, run in runs.items():
        networks[name], variables[name], card = load_pretrained(run)
        check_experiment(config, run, card, "tokenizer")
        found, needed = ("{}x{}x{} with {} levels".format(*x.shape, x.levels) for x in (card["image_spec"], spec))
        if found != needed:
            raise InputError(f"config.codes.{name}={run} reads images of {found}, not of {needed}: change config.data.")
        pairs = map(jax.tree.leaves, (variables[name], prepared.get(name, variables[name])))
        if not all(map(np.array_equal, *pairs)):
            raise InputError(f"{run} was trained again since this run began: restore it, or choose a new workdir.")
    factors = [network.factor for network in networks.values()]
    if factors != sorted(factors, reverse=True):  # coarse first
        raise InputError("config.codes.coarse_tokenizer has a smaller factor than the other: exchange them.")
    return networks, variables


def add_priors(config: RunConfig, spec: ImageSpec, networks: Networks, variables: Variables) -> dict[str, Any]:
    """Adds priors of the codes to the tokenizers, and returns the inputs that initialise them."""
    h = condition(spec, {"label": jnp.zeros(1, int), "caption": jnp.zeros((1, 1), int)})
    model, inputs = CodeModel(networks, variables), dict[str, Any]()
    codes = model.encode(blank(spec))
    for name, x in codes.items():
        levels = networks[TOKENIZERS[name]].values if variables else spec.levels
        height, width, digits = x.shape[1:]
        networks[name] = make_network(config.model, ImageSpec(height, width, digits, levels))
        if spec.words and not inputs:  # s, the map of a caption, has 16 channels
            networks[name] = ConditionalModel(networks[name], TextEncoder((height, width, 16), spec.words))
        inputs[name] = x, *model.condition(name, codes, h).values()
    return inputs


def condition(spec: ImageSpec, batch: Mapping[str, Any]) -> Any:
    """Extracts h of a batch: the captions, the labels as one-hot vectors, or nothing."""
    if spec.words:
        return batch["caption"]
    return jax.nn.one_hot(batch["label"], spec.classes) if spec.classes else None


def prepare(config: RunConfig, splits: Splits) -> Variables:
    """Copies the tokenizers, so that the trained model needs no other; a run that resumes reads their workdirs."""
    return load_tokenizers(config, splits.spec, {})[1]


def picture_source(config: RunConfig, splits: Splits) -> dict[str, Any]:
    """Chooses h of each sample, per row a class or a held-out caption, and the training images to show."""
    rows, spec = np.arange(config.train.sample_rows).repeat(config.train.sample_columns), splits.spec
    batch = {"label": rows % (spec.classes or 1)}
    if spec.words:
        batch = read_all(splits.validation.take(rows * len(splits.validation) // config.train.sample_rows, "captions"))
    train = read_all(splits.train)["image"] if config.section.show_nearest else None
    return {"h": condition(spec, batch), "train": train}


def nearest(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Finds the reference that has the least squared difference from each image."""
    a, b = (x.reshape(len(x), -1).astype(np.float32) for x in (images, references))
    return references[np.argmin(np.sum(b**2, axis=1) - 2 * a @ b.T, axis=1)]
