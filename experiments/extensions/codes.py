"""The prior of a tokenizer's codes, given the caption, else the label, else nothing, as the data has them.

With ``config.codes.coarse_tokenizer`` there are two levels: coarse codes, and fine ones of which the coarse are the map
s. The score is the bits of all codes of an image, which are no likelihood of its pixels.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float, Int, Key

from experiments.shared.measuring import check_experiment, report_split
from experiments.shared.models import init_of_each
from pixelcnn_jax import InputError, load_pretrained, sample
from pixelcnn_jax.codes import BITS_OF_CODES, TOKENIZERS, CodeModel
from pixelcnn_jax.data.batches import training_batches
from pixelcnn_jax.data.dataset import Augment, Dataset, read_all
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.source import Example, read_ahead
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.models.model_card import GIVEN_CAPTION, GIVEN_LABEL, UNCONDITIONAL
from pixelcnn_jax.models.registry import make_network
from pixelcnn_jax.models.tokenizer import Codes, Tokenizer
from pixelcnn_jax.pretrained import Pretrained
from pixelcnn_jax.training.config import RunConfig, keys
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Networks, Params, Pictures

ENCODED = 64  # images at a time


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fields of ``config.codes``."""

    tokenizer: str | None = field(None, "workdir of the tokenizer")
    coarse_tokenizer: str | None = field(None, "workdir of one of a larger factor, for two levels of codes")
    decoder: str | None = field(None, 'if the data holds codes, a function from them to images, as "module:function"')
    copies: int = field(1, "encoded copies of each training image, flipped and shifted as config.data says", min=1)
    map_features: int = field(16, "hidden channels of s, the map of a caption", min=1)
    show_nearest: bool = field(False, "show each sample with its nearest training image to the right")


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: bits of the codes; decoded samples, a row for each class."""
    section, tokenizers = config.section, load_tokenizers(config, spec)
    networks, inputs = make_networks(config, spec, {name: x.model for name, x in tokenizers.items()})
    decode = decoder(section.decoder) if section.decoder else None

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        codes = batch if tokenizers else {"prior": batch["image"]}
        return jnp.sum(CodeModel(networks, params).bits(codes, h=condition(spec, batch), key=key), axis=1)

    def draw(params: Params, key: Key[Array, ""], source: Mapping[str, Any]) -> Pictures:
        rows, columns = config.train.sample_rows, config.train.sample_columns
        h = None if source["h"] is None else jnp.repeat(source["h"], columns, axis=0)
        size = rows * columns, spec.height, spec.width
        if decode is None:
            images = CodeModel(networks, {**params, **(prepared or {})}).sample(key, shape=size, h=h)
        else:
            images = decode(sample(networks["prior"], params["prior"], key, shape=size, h=h))
        pictures = np.asarray(images)[:, None]
        if source["train"] is not None:
            indices, _ = nearest(pictures[:, 0], source["train"], spec.levels)
            pictures = np.concatenate([pictures, source["train"][indices, None]], axis=1)
        return pictures.reshape(rows, -1, *pictures.shape[2:]).astype(np.int32)

    density = GIVEN_CAPTION if spec.words else GIVEN_LABEL if spec.classes else UNCONDITIONAL
    caption = "Samples, drawn as codes and decoded" + ", one class per row" * bool(spec.classes and not spec.words)
    caption += "; to the right of each its nearest training image" * section.show_nearest
    words: dict[str, Any] = {"measure": BITS_OF_CODES, "density": density, "caption": f"{caption}."}
    words |= {"facts": {"guidance": False}, "picture_levels": None if tokenizers else 256}
    return Experiment(init_of_each(networks, inputs), loss, draw, networks, **words)


def make_networks(
    config: RunConfig, spec: ImageSpec, tokenizers: Mapping[str, Tokenizer]
) -> tuple[Networks, dict[str, tuple[Any, ...]]]:
    """Builds the tokenizers and the priors of their codes, and the inputs that initialise the priors."""
    networks, inputs = Networks(tokenizers), dict[str, tuple[Any, ...]]()
    h = jnp.zeros((1, spec.classes)) if spec.classes and not spec.words else None
    for name in TOKENIZERS if "coarse_tokenizer" in tokenizers else ("prior",):
        of_codes, given = spec, [h]
        if tokenizers:
            factor, levels = tokenizers[TOKENIZERS[name]].factor, tokenizers[TOKENIZERS[name]].codes
            height, width = spec.height // factor, spec.width // factor
            of_codes = replace(spec, height=height, width=width, channels=1, levels=levels)
        networks[name] = make_network(config.model, of_codes)
        if inputs:
            given += [CodeModel(networks, {}).map_of({"coarse_prior": inputs["coarse_prior"][0]})]
        elif spec.words:
            shape = of_codes.height, of_codes.width, config.section.map_features
            networks[name], given = (
                ConditionalModel(networks[name], TextEncoder(shape, spec.words)),
                [jnp.zeros((1, 1), int)],
            )
        inputs[name] = jnp.zeros((1, *of_codes.shape), jnp.int32), *given
    return networks, inputs


def condition(spec: ImageSpec, batch: Mapping[str, Any]) -> Any:
    """Extracts h of a batch: the captions, the labels as one-hot vectors, or nothing."""
    if spec.words:
        return batch["caption"]
    return jax.nn.one_hot(batch["label"], spec.classes) if spec.classes else None


def load_tokenizers(config: RunConfig, spec: ImageSpec) -> dict[str, Pretrained]:
    """Loads the tokenizers of a config; none if the data holds codes.

    Raises:
      InputError: if they are missing, or do not fit the images or each other.
    """
    section, loaded = config.section, dict[str, Pretrained]()
    if section.decoder is not None:
        return loaded
    if section.tokenizer is None:
        raise InputError("Set config.codes.tokenizer to a workdir, or config.codes.decoder if the data holds codes.")
    for name in ("tokenizer", "coarse_tokenizer"):
        if (run := getattr(section, name)) is None:
            continue
        loaded[name] = load_pretrained(run)
        model, finer = loaded[name].model, loaded["tokenizer"].model
        check_experiment(config, run, loaded[name].card, "tokenizer")
        divides = not (spec.height % model.factor or spec.width % model.factor or model.factor % finer.factor)
        if not divides or (model.channels, model.levels) != (spec.channels, spec.levels):
            raise InputError(
                f"config.codes.{name}={run} reads squares of {model.factor}x{model.factor}x{model.channels} with "
                f"{model.levels} levels, into which images of {spec.height}x{spec.width}x{spec.channels} with "
                f"{spec.levels} levels cannot be cut: change config.data, or choose another tokenizer."
            )
    return loaded


def decoder(name: str) -> Callable[[Codes], Any]:
    """Imports a function from codes [batch, rows, columns, 1] to 8-bit images [batch, height, width, channels]."""
    module, _, function = name.partition(":")
    try:
        return cast(Callable[[Codes], Any], getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f'config.codes.decoder must be "module:function", got "{name}": {error}.') from error


def prepare(config: RunConfig, splits: Splits) -> Variables:
    """Copies the tokenizers, so that the run is complete without their workdirs."""
    return {name: x.variables for name, x in load_tokenizers(config, splits.spec).items()}


def encode(config: RunConfig, splits: Splits, prepared: Variables) -> Splits:
    """Encodes each image once.

    Raises:
      InputError: if a tokenizer was trained again since the run began.
    """
    tokenizers, data = load_tokenizers(config, splits.spec), config.data
    for name, loaded in tokenizers.items():
        if name in prepared and contents(loaded.variables) != contents(prepared[name]):
            run = getattr(config.section, name)
            raise InputError(f"{run} was trained again since this run began: restore it, or choose a new workdir.")
    if not tokenizers:  # of a mirrored image the codes are others
        held_out = {name: Encoded(**vars(split)) for name, split in splits.held_out.items()}
        return Splits(Encoded(**vars(splits.train)), **held_out)
    model = CodeModel(*({name: x[part] for name, x in tokenizers.items()} for part in range(2)))
    train = encoded(model, splits.train, config.section.copies, seed=config.seed, flip=data.flip, shift=data.shift)
    return Splits(
        train, **{name: encoded(model, split, 1, seed=config.seed) for name, split in splits.held_out.items()}
    )


def contents(variables: Variables) -> dict[Any, bytes]:
    """Reads the bytes of variables, by path."""
    return {path: np.asarray(x).tobytes() for path, x in flatten_dict(variables).items()}


class Encoded(Dataset):
    """A data set of codes, which are neither mirrored nor shifted: the images were, before they were encoded."""

    def get(self, index: int, *, seed: int, augment: Augment | None = None) -> Example:
        """Reads an example."""
        return self.example(index % self.count)


def encoded(model: CodeModel, images: Dataset, copies: int, **options: Any) -> Dataset:
    """Encodes copies of each image, with options of ``training_batches``."""
    count, parts = copies * len(images), list[Example]()
    total, title = -(-count // ENCODED), f"encoding {images.description}"
    batches = read_ahead(training_batches(images, batch_size=ENCODED, **options), stop=total)
    for batch in progress_bar(batches, title, total=total, delay=2, leave=False):
        codes = jax.device_get(model.encode(jnp.asarray(batch["image"])))
        parts.append({name: x for name, x in batch.items() if name != "image"} | codes)
    arrays = {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}
    return Encoded(lambda i: {name: x[i] for name, x in arrays.items()}, count, images.spec, images.description)


def picture_source(config: RunConfig, splits: Splits) -> dict[str, Any]:
    """Chooses h of each row, a class or a held-out caption, and the training images to show."""
    rows, spec = config.train.sample_rows, splits.spec
    batch = {"label": np.arange(rows) % (spec.classes or 1)}
    if spec.words:
        batch = read_all(splits.validation.take(np.arange(rows) * len(splits.validation) // rows, "captions"))
    train = read_all(splits.train)["image"] if config.section.show_nearest else None
    return {"h": condition(spec, batch), "train": train}


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params, prepared: Variables) -> Figures:
    """Measures the bits of each map of codes, and the distance of samples from the training images."""
    spec, images = splits.spec, report_split(splits).subset(config.train.report_images)
    model = CodeModel(experiment.networks, prepared)

    def bits(params: Params, batch: Batch) -> Float[Array, "batch priors"]:
        codes = model.encode(batch["image"]) if prepared else {"prior": batch["image"]}
        return model._replace(variables=params).bits(codes, h=condition(spec, batch))

    means = per_image(config, bits)(params, images).mean(axis=0, dtype=np.float64)
    figures = {"report_images": len(images)} | {f"bits_of_the_{x}": y for x, y in zip(model.priors, means, strict=True)}
    if config.section.show_nearest:
        source = picture_source(config, splits)
        pairs = np.asarray(experiment.sample(params, keys(config).report, source)).reshape(-1, 2, *spec.shape)
        unseen, suffix = read_all(images)["image"], "from_the_nearest_training_image"
        for name, shown in (("samples", pairs[:, 0]), ("held_out_images", unseen)):
            differences = nearest(shown, source["train"], spec.levels)[1]
            figures[f"difference_of_{name}_{suffix}"] = float(differences.mean())
    return figures


def nearest(
    images: np.ndarray, references: np.ndarray, levels: int
) -> tuple[Int[np.ndarray, " count"], Float[np.ndarray, " count"]]:
    """Finds the nearest reference of each image, and their RMS difference, with intensities in [0, 1]."""
    a, b = (x.reshape(len(x), -1).astype(np.float32) / (levels - 1) for x in (images, references))
    squares = np.maximum(np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T, 0)
    return np.argmin(squares, axis=1), np.sqrt(np.min(squares, axis=1) / a.shape[1])
