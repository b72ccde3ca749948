"""A variational auto-encoder with a PixelCNN as its decoder: past the paper, by its section 4.

python -m experiments.vae --config=configs/mnist_vae.py --workdir=runs/mnist_vae

The score is a bound: the negative ELBO, in nats an image. A decoder that needs no code ignores it, and the KL term
falls to zero; ``kl_warmup`` and ``free_nats`` are against that, and the report tells.
"""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli
from experiments.network import make_decoder
from pixelcnn_jax.data.dataset import some_images
from pixelcnn_jax.models.encoders import Encoder
from pixelcnn_jax.models.inputs import fingerprint
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits, evaluator

IMPORTANCE_SAMPLES = 32


class Posterior(NamedTuple):
    """q(z|x), a diagonal Gaussian; the prior is the standard one."""

    mean: Float[Array, "batch m"]
    log_scale: Float[Array, "batch m"]

    def draw(self, keys: Key[Array, " batch"]) -> Float[Array, "batch m"]:
        """A code of each image, by a key of its own."""
        return self.mean + jnp.exp(self.log_scale) * normal(keys, self.mean.shape[1])

    def kl(self) -> Float[Array, "batch m"]:
        """KL from the prior in nats, of each number of the code."""
        return 0.5 * (self.mean**2 + jnp.exp(2 * self.log_scale) - 1) - self.log_scale

    def log_weight(self, z: Float[Array, "batch m"]) -> Float[Array, " batch"]:
        """log p(z) - log q(z|x)."""
        noise = (z - self.mean) * jnp.exp(-self.log_scale)
        return jnp.sum(0.5 * (noise**2 - z**2) + self.log_scale, axis=1)


def make_experiment(config: ConfigDict, splits: Splits) -> Experiment:
    """The negative ELBO as the loss; a tighter bound, the KL and what the code is used for as the report."""
    (height, width, channels), levels, m = splits.train.shape, splits.train.levels, config.bottleneck
    decoder = make_decoder(config, splits)
    encoder = Encoder(2 * m, levels, tuple(config.encoder_features))

    def init(key: Key[Array, ""]) -> Params:
        decoder_key, encoder_key = jax.random.split(key)
        image = jnp.zeros((1, height, width, channels), jnp.int32)
        return {
            "decoder": decoder.init(decoder_key, m),
            "encoder": dict(encoder.init(encoder_key, image)),
        }

    @jax.jit
    def posterior(params: Params, images: Array) -> Posterior:
        mean, log_scale = jnp.split(cast(Array, encoder.apply(params["encoder"], images)), 2, axis=1)
        return Posterior(mean, jnp.clip(log_scale, -6, 3))

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        q = posterior(params, batch["image"])
        if key is None:  # draws as well, for an image the same code each time
            z = q.draw(keys_of(jax.random.key(config.seed), batch["image"]))
            return decoder.nats(params["decoder"], batch["image"], z) + jnp.sum(q.kl(), axis=1)
        code_key, dropout_key = jax.random.split(key)
        z = q.draw(jax.random.split(code_key, len(batch["image"])))
        # Free nats are of the mean over the images computed together: one may use less, if others use more.
        free = jnp.maximum(jnp.mean(q.kl(), axis=0), config.free_nats)
        weight = jnp.minimum(1, (batch["step"] + 1) / max(1, config.kl_warmup))
        return decoder.nats(params["decoder"], batch["image"], z, dropout_key) + weight * jnp.sum(free)

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        """Upper half: a row a code of the prior, so that what a row has in common is in its code. Lower half: an image,
        and samples given its code."""
        rows, columns = config.sample_rows, max(2, config.sample_columns)
        prior_rows = rows // 2
        originals = jnp.asarray(some_images(splits.validation, rows - prior_rows))
        z = jnp.concatenate([jax.random.normal(key, (prior_rows, m)), posterior(params, originals).mean])
        drawn = decoder.draw(params["decoder"], key, jnp.repeat(z, columns, axis=0))
        drawn = drawn.reshape(rows, columns, height, width, channels)
        return drawn.at[prior_rows:, 0].set(originals)

    def report(params: Params) -> dict[str, Any]:
        images = splits.reported.some(config.report_images)

        def measured(params: Params, batch: Batch) -> Float[Array, "batch figures"]:
            x = batch["image"]
            q = posterior(params, x)

            def weighed(key: Key[Array, ""]) -> Float[Array, "terms batch"]:
                z = q.draw(keys_of(key, x))
                nats = decoder.nats(params["decoder"], x, z)
                return jnp.stack([q.log_weight(z) - nats, nats])

            terms = jax.lax.map(weighed, jax.random.split(jax.random.key(config.seed), IMPORTANCE_SAMPLES))
            bound = jax.nn.logsumexp(terms[:, 0], axis=0) - jnp.log(IMPORTANCE_SAMPLES)
            of_the_prior = normal(keys_of(jax.random.key(config.seed + 1), x), m)
            alone = decoder.nats(params["decoder"], x, of_the_prior)
            elbo = jnp.mean(terms[:, 1], axis=0) + jnp.sum(q.kl(), axis=1)
            figures = jnp.stack([elbo, -bound, jnp.mean(terms[:, 1], axis=0), alone], axis=1)
            return jnp.concatenate([figures, q.mean, q.kl()], axis=1)

        values = evaluator(measured, config)(params, images)
        elbo, bound, given, alone = values[:, :4].mean(axis=0, dtype=np.float64)
        return {
            "report_images": len(images),
            "negative_elbo_nats": float(elbo),
            f"importance_weighted_bound_nats_{IMPORTANCE_SAMPLES}": float(bound),
            "kl_nats": float(values[:, 4 + m :].mean(axis=0).sum()),
            # Burda et al. 2016: a unit is active where its mean varies with the image, by more than 0.01.
            "active_units": int(np.sum(values[:, 4 : 4 + m].var(axis=0) > 0.01)),
            "decoder_nats_given_the_code": float(given),
            "decoder_nats_given_a_code_of_the_prior": float(alone),
        }

    return Experiment(init, loss, draw, score_of="bound", report=report)


def keys_of(key: Key[Array, ""], images: Int[Array, "batch height width channels"]) -> Key[Array, " batch"]:
    """A key of each image, whatever batch it is in."""
    return jax.vmap(partial(jax.random.fold_in, key))(fingerprint(images))


def normal(keys: Key[Array, " batch"], count: int) -> Float[Array, "batch count"]:
    """Standard normal numbers by each key."""
    return jax.vmap(lambda key: jax.random.normal(key, (count,)))(keys)


if __name__ == "__main__":
    cli.main(make_experiment)
