"""An auto-encoder with a PixelCNN as its decoder (sections 2.4 and 3.4, figures 6 and 11), beside one on MSE.

python -m experiments.autoencoder --config=configs/mnist_autoencoder.py --workdir=runs/mnist_autoencoder

Two pairs of networks are trained side by side, on the same batches: an encoder with a PixelCNN that is given its h, end
to end on the likelihood, and an encoder of the same kind with a deconvolutional network, on the squared error. What is
best on validation is chosen by the likelihood alone. Each row of the picture is an image, the reconstruction by squared
error, and samples given h.
"""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli, trained
from experiments.network import make_decoder
from pixelcnn_jax.data.dataset import some_images
from pixelcnn_jax.devices import on_one_device
from pixelcnn_jax.models.encoders import Deconvolution, Encoder
from pixelcnn_jax.models.inputs import another
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits, evaluator

ENCODERS = ("encoder", "mse_encoder")
POOL = 64  # other images whose h are tried


def make_experiment(config: ConfigDict, splits: Splits) -> Experiment:
    """The likelihood given the encoder's h as the loss; what h holds, with either decoder, as the report."""
    (height, width, channels), levels, m = splits.train.shape, splits.train.levels, config.bottleneck
    decoder = make_decoder(config, splits)
    encoder = Encoder(m, levels, tuple(config.encoder_features))
    deconvolution = Deconvolution((height, width, channels))
    images = splits.reported
    unconditional = None
    if config.unconditional and len(images):
        unconditional = trained.nats_of_run(config.unconditional, config, images, "unconditional")

    def init(key: Key[Array, ""]) -> Params:
        keys = jax.random.split(key, 4)
        image, h = jnp.zeros((1, height, width, channels), jnp.int32), jnp.zeros((1, m))
        return {
            "decoder": decoder.init(keys[0], m),
            "encoder": dict(encoder.init(keys[1], image)),
            "mse_decoder": dict(deconvolution.init(keys[2], h)),
            "mse_encoder": dict(encoder.init(keys[3], image)),
        }

    @partial(jax.jit, static_argnames="name")
    def encode(params: Params, images: Array, name: str = "encoder") -> Float[Array, "batch m"]:
        return cast(Array, encoder.apply(params[name], images))

    @jax.jit
    def reconstruct(params: Params, images: Array) -> Float[Array, "batch height width channels"]:
        """By the deconvolutional decoder, as intensities 0 to 1, or a little beyond."""
        return cast(Array, deconvolution.apply(params["mse_decoder"], encode(params, images, "mse_encoder")))

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        nats = decoder.nats(params["decoder"], batch["image"], encode(params, batch["image"]), key)
        if key is None:
            return nats
        error = jnp.sum((reconstruct(params, batch["image"]) - batch["image"] / (levels - 1)) ** 2, axis=(1, 2, 3))
        # The pairs share no parameter: this adds the gradient of the second, and leaves the value to the first.
        return nats + error - jax.lax.stop_gradient(error)

    def draw_of(params: Params, key: Key[Array, ""], images: Array, each: int) -> Array:
        h = jnp.repeat(encode(params, images), each, axis=0)
        return decoder.draw(params["decoder"], key, h).reshape(len(images), each, *decoder.shape)

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        originals = jnp.asarray(some_images(splits.validation, config.sample_rows))
        smooth = jnp.round(jnp.clip(reconstruct(params, originals), 0, 1) * (levels - 1)).astype(jnp.int32)
        drawn = draw_of(params, key, originals, max(1, config.sample_columns - 2))
        return jnp.concatenate([originals[:, None], smooth[:, None], drawn], axis=1)

    def report(params: Params) -> dict[str, Any]:
        part = images.some(config.report_images)
        others = jnp.asarray(some_images(part, POOL))

        def measured(params: Params, batch: Batch) -> Float[Array, "batch figures"]:
            x = batch["image"]
            given = (encode(params, x), encode(params, others)[another(x, others)])
            return jnp.stack([decoder.nats(params["decoder"], x, h) for h in given], axis=1)

        own, other = evaluator(measured, config)(params, part).mean(axis=0, dtype=np.float64)
        few = jnp.asarray(some_images(part, min(len(part), config.report_samples)))
        one = on_one_device(params)
        drawn = draw_of(one, jax.random.key(config.seed), few, 1)[:, 0] / (levels - 1)
        figures: dict[str, Any] = {
            "report_images": len(part),
            "reconstructed_images": len(few),
            "squared_error_of_mse_reconstructions": squared_error(jnp.clip(reconstruct(one, few), 0, 1), few, levels),
            "squared_error_of_samples": squared_error(drawn, few, levels),
        }
        if len(np.unique(others, axis=0)) > 1:
            figures["nats_lost_with_the_h_of_another_image"] = float(other - own)
            figures["decoder_uses_h"] = bool(other - own > 1)
        if unconditional is not None:
            all_nats = evaluator(lambda p, b: loss(p, b, None), config)(params, images)
            figures["nats_gained_over_unconditional"] = unconditional - float(np.mean(all_nats, dtype=np.float64))
        learned = splits.train.some(5 * config.report_images)
        if splits.train.classes and all(len(np.unique(split.labels())) > 1 for split in (learned, part)):
            codes = evaluator(
                lambda p, b: jnp.stack([encode(p, b["image"], name) for name in ENCODERS], axis=1),
                config,
            )
            known, unknown = codes(params, learned), codes(params, part)
            for i, name in enumerate(ENCODERS):
                figures[f"linear_probe_of_{name}"] = linear_probe(
                    known[:, i], learned.labels(), unknown[:, i], part.labels()
                )
        return figures

    return Experiment(init, loss, draw, score_of="p(x|h)", report=report)


def squared_error(
    found: Float[Array, "batch height width channels"], images: Int[Array, "batch height width channels"], levels: int
) -> float:
    """Mean over all pixels, of intensities 0 to 1."""
    return float(jnp.mean((found - images / (levels - 1)) ** 2))


def linear_probe(
    codes: Float[np.ndarray, "learned m"],
    labels: Int[np.ndarray, " learned"],
    test_codes: Float[np.ndarray, "count m"],
    test_labels: Int[np.ndarray, " count"],
) -> float:
    """Accuracy of logistic regression on vectors h, standardised: how much of the class lies open in them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(probe.fit(codes, labels).score(test_codes, test_labels))


if __name__ == "__main__":
    cli.main(make_experiment)
