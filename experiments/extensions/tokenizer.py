"""A tokenizer: images to maps of codes and back (2309.15505), for a prior of the codes (``codes.py``).

The loss is the mean squared error in intensity levels. Picture columns: an image and, to the right, its reconstruction.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from experiments.shared.parts import init_of
from pixelcnn_jax import InputError
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables, apply_jitted
from pixelcnn_jax.models.tokenizer import Tokenizer
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Params, Pictures


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fields of ``config.tokenizer``."""

    factor: int = field(4, "height and width of the square of pixels that a code stands for", choices=(2, 4, 8))
    digits: int = field(3, "digits of a code", min=1)
    digit_values: int = field(8, "values of a digit: values to the power of digits is the number of codes", min=2)
    features: int = field(96, "channels of the layers", min=1)
    blocks: int = field(3, "residual blocks of the encoder, and of the decoder", min=0)


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: squared error; images beside their reconstructions."""
    section = config.section
    if spec.height % section.factor or spec.width % section.factor:
        factor = f"config.tokenizer.factor={section.factor}"
        raise InputError(f"{factor} must divide {spec.height} and {spec.width}: set config.data.resize and height.")
    fields = {name.removeprefix("digit_"): value for name, value in vars(section).items()}
    network = Tokenizer(spec.levels, spec.channels, **fields)

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        levels = (apply_jitted(network, params, batch["image"]) + 1) * ((spec.levels - 1) / 2)
        return jnp.mean((levels - batch["image"]) ** 2, axis=(1, 2, 3))

    def draw(params: Params, key: Key[Array, ""], source: Images) -> Pictures:
        codes: Any = network.apply(params, jnp.asarray(source), method="encode")
        decoded: Any = network.apply(params, codes, method="decode")
        return jnp.stack([source, decoded], axis=1).reshape(config.train.sample_rows, -1, *spec.shape)

    caption = "Validation images, each with its reconstruction to the right."
    return Experiment(init_of(network, spec), loss, draw, network, "squared_error", "codes", caption)


def picture_source(config: RunConfig, splits: Splits) -> Images:
    """Takes the validation images to reconstruct: one for every two columns."""
    return take_images(splits.validation, config.train.sample_rows * max(1, config.train.sample_columns // 2))


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures the error of reconstructions, and how many codes are in use, on each held-out split."""

    def measured(params: Params, batch: Batch) -> tuple[Array, Array]:
        return experiment.networks.apply(params, batch["image"], method="encode"), experiment.loss(params, batch, None)

    measure, figures = per_image(config, measured), dict[str, Any]()
    for name, split in splits.held_out.items():
        codes, errors = measure(params, split.subset(config.train.report_images))
        psnr = 10 * np.log10((splits.spec.levels - 1) ** 2 / errors.mean(dtype=np.float64))
        values = {"images": len(errors), "psnr_db": float(psnr), "perplexity_of_codes": perplexity(codes)}
        figures |= {f"{name}_{key}": value for key, value in values.items()}
    return figures


def perplexity(codes: Int[np.ndarray, "... digits"]) -> float:
    """Computes the exponential of the entropy of the codes, the number of equally frequent codes of that entropy."""
    _, counts = np.unique(codes.reshape(-1, codes.shape[-1]), axis=0, return_counts=True)
    shares = counts / counts.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))
