"""An auto-encoder with a PixelCNN decoder (sections 2.4, 3.4; figures 6, 11).

An auto-encoder on MSE is trained beside it; validation is of the likelihood alone. Picture rows: image, MSE
reconstruction, samples given h.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key, UInt32

from experiments.shared.measuring import report_split, squared_error
from experiments.shared.parts import Encoded, Mapped, blank, draw_grid, fingerprint, init_of_each, make_conditional
from pixelcnn_jax import nll
from pixelcnn_jax.data.dataset import Dataset, take_images
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.devices import on_one_device
from pixelcnn_jax.models.conditioning.encoders import Deconvolution, Encoder
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables, apply_jitted
from pixelcnn_jax.training.config import RunConfig, run_keys
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Networks, Params, Pictures

POOL = 64  # images that provide a wrong h


@dataclass(frozen=True, kw_only=True)
class Config(Encoded, Mapped):
    """Fields of ``config.autoencoder``."""


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: nats given the encoder's h; in training also the MSE."""
    decoder = make_conditional(config.model, spec, map_features=config.section.map_features)
    encoder = Encoder(config.section.bottleneck, spec.levels, config.section.encoder_features)
    mse_decoder = Deconvolution(spec.shape)
    networks: Networks = dict(decoder=decoder, encoder=encoder, mse_decoder=mse_decoder, mse_encoder=encoder)

    image, h = blank(spec), jnp.zeros((1, config.section.bottleneck))
    inputs = {"decoder": (image, h), "encoder": (image,), "mse_decoder": (h,), "mse_encoder": (image,)}

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        images = batch["image"]
        h = encode(networks, params, images)
        likelihood = nll(networks["decoder"], params["decoder"], images, h=h, key=key)
        if key is None:
            return likelihood
        error = jnp.sum((reconstruct(networks, params, images) - images / (spec.levels - 1)) ** 2, axis=(1, 2, 3))
        # Adds the gradient of the MSE pair, which shares no parameters, but not its value.
        return likelihood + error - jax.lax.stop_gradient(error)

    def draw(params: Params, key: Key[Array, ""], source: Images) -> Pictures:
        originals = jnp.asarray(source)
        smooth = jnp.round(jnp.clip(reconstruct(networks, params, originals), 0, 1) * (spec.levels - 1))
        drawn = draw_given(networks, spec, params, key, originals, max(1, config.train.sample_columns - 2))
        return jnp.concatenate([originals[:, None], smooth.astype(jnp.int32)[:, None], drawn], axis=1)

    caption = "In each row an image, its reconstruction by squared error, and samples given its code."
    return Experiment(init_of_each(networks, inputs), loss, draw, networks, density="p(x|h)", caption=caption)


def encode(networks: Networks, params: Params, images: Images, name: str = "encoder") -> Float[Array, "batch m"]:
    """Encodes images as h."""
    return apply_jitted(networks[name], params[name], images)


def reconstruct(networks: Networks, params: Params, images: Images) -> Float[Array, "batch height width channels"]:
    """Reconstructs images by the MSE pair; intensities may leave [0, 1] slightly."""
    return apply_jitted(networks["mse_decoder"], params["mse_decoder"], encode(networks, params, images, "mse_encoder"))


def draw_given(
    networks: Networks, spec: ImageSpec, params: Params, key: Key[Array, ""], images: Images, count: int
) -> Int[Array, "batch count height width channels"]:
    """Draws ``count`` samples given the h of each image."""
    h = jnp.repeat(encode(networks, params, images), count, axis=0)
    return draw_grid(networks["decoder"], params["decoder"], key, spec, len(images), count, h=h)


def picture_source(config: RunConfig, splits: Splits) -> Images:
    """Takes the validation images to reconstruct."""
    return take_images(splits.validation, config.train.sample_rows)


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures squared errors, the decoder's use of h, and linear probes of h."""
    networks, spec, train = experiment.networks, splits.spec, config.train
    images, local = report_split(splits).subset(train.report_images), on_one_device(params)
    few = jnp.asarray(take_images(images, min(len(images), train.report_samples)))
    drawn = draw_given(networks, spec, local, run_keys(config).report, few, 1)[:, 0] / (spec.levels - 1)
    smooth = jnp.clip(reconstruct(networks, local, few), 0, 1)
    figures: Figures = {
        "report_images": len(images),
        "reconstructed_images": len(few),
        "squared_error_of_mse_reconstructions": squared_error(smooth, few, spec.levels),
        "squared_error_of_samples": squared_error(drawn, few, spec.levels),
    }
    pool = jnp.asarray(take_images(images, POOL))
    lost = np.mean(per_image(config, lambda p, b: nats_lost(networks, p, b, pool))(params, images), dtype=float)
    figures |= {"nats_lost_with_the_h_of_another_image": float(lost), "decoder_uses_h": bool(lost > 1)}
    learned = splits.train.subset(5 * train.report_images)
    if spec.classes and all(len(np.unique(split.labels())) > 1 for split in (learned, images)):
        for name in ("encoder", "mse_encoder"):
            figures[f"linear_probe_of_{name}"] = probe(config, networks[name], params[name], learned, images)
    return figures


def nats_lost(networks: Networks, params: Params, batch: Batch, pool: Images) -> Float[Array, " batch"]:
    """Computes the nats lost given the h of a different image, one of ``pool``."""
    x, h_of_pool = batch["image"], encode(networks, params, pool)
    wrong = h_of_pool[index_of_different_image(x, pool)]
    losses = [nll(networks["decoder"], params["decoder"], x, h=h) for h in (encode(networks, params, x), wrong)]
    return losses[1] - losses[0]


def index_of_different_image(
    images: Images, pool: Integer[Array | np.ndarray, "pool height width channels"]
) -> UInt32[Array, " batch"]:
    """Picks for each image a different one of the pool; any if there is none."""
    hashes, pool_hashes = fingerprint(images), fingerprint(pool)
    places = (hashes[:, None] + jnp.arange(len(pool), dtype=jnp.uint32)[None]) % len(pool)
    first = jnp.argmax(pool_hashes[places] != hashes[:, None], axis=1)
    return jnp.take_along_axis(places, first[:, None], axis=1)[:, 0]


def probe(config: RunConfig, encoder: Encoder, params: Params, learned: Dataset, images: Dataset) -> float:
    """Measures the accuracy of logistic regression from standardised h to classes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes_of = per_image(config, lambda p, b: apply_jitted(encoder, p, b["image"]))
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    fitted = regression.fit(codes_of(params, learned), learned.labels())
    return float(fitted.score(codes_of(params, images), images.labels()))
