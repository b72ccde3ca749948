"""A variational auto-encoder with a PixelCNN decoder, future work of section 4.

The score is the negative ELBO in nats. ``free_nats`` counteracts posterior collapse.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from experiments.shared.measuring import report_split
from experiments.shared.parts import Encoded, Mapped, blank, draw_grid, fingerprint, init_of_each, make_conditional
from pixelcnn_jax import nll
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.conditioning.encoders import Encoder
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables, apply_jitted
from pixelcnn_jax.training.config import RunConfig, run_keys
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Networks, Params, Pictures

Latents = Float[Array, "batch m"]


@dataclass(frozen=True, kw_only=True)
class Config(Encoded, Mapped):
    """Fields of ``config.vae``."""

    free_nats: float = field(0.0, "KL nats per latent dimension exempt from the penalty", min=0)
    importance_samples: int = field(32, "latents per image for the importance-weighted bound", min=1)


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: the negative ELBO; pictures by latent dimension."""
    m = config.section.bottleneck
    decoder = make_conditional(config.model, spec, map_features=config.section.map_features)
    networks = {"decoder": decoder, "encoder": Encoder(2 * m, spec.levels, config.section.encoder_features)}
    inputs = {"decoder": (blank(spec), jnp.zeros((1, m))), "encoder": (blank(spec),)}

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        images, q = batch["image"], posterior(networks, params, batch["image"])
        if key is None:  # drawn from a key of the image
            z = q.draw(keys_of(run_keys(config).score, images))
            return nll(decoder, params["decoder"], images, h=z) + jnp.sum(q.kl(), axis=1)
        code_key, dropout_key = jax.random.split(key)
        z = q.draw(jax.random.split(code_key, len(images)))
        # Free bits apply to the mean over a microbatch.
        kl = jnp.maximum(jnp.mean(q.kl(), axis=0), config.section.free_nats)
        return nll(decoder, params["decoder"], images, h=z, key=dropout_key) + jnp.sum(kl)

    def draw(params: Params, key: Key[Array, ""], source: Images) -> Pictures:
        rows, columns = config.train.sample_rows, max(2, config.train.sample_columns)
        shown, originals = rows // 2, jnp.asarray(source)
        rising = jnp.linspace(-3, 3, columns)[None, :, None] * jnp.eye(m)[jnp.arange(shown) % m, None]
        of_images = jnp.repeat(posterior(networks, params, originals).mean[:, None], columns, axis=1)
        z = jnp.concatenate([rising, of_images]).reshape(rows * columns, m)
        shared, different = jax.random.split(key)
        same = jnp.broadcast_to(shared, shown * columns)
        keys = jnp.concatenate([same, jax.random.split(different, len(of_images) * columns)])
        return draw_grid(decoder, params["decoder"], keys, spec, rows, columns, h=z).at[shown:, 0].set(originals)

    caption = "Above, in each row one number of the latent rises from -3 to 3 and the noise stays the same. "
    caption += "Below, samples given the latent of the first image."
    return Experiment(init_of_each(networks, inputs), loss, draw, networks, density="bound", caption=caption)


class Posterior(NamedTuple):
    """q(z|x), a diagonal Gaussian; the prior is standard normal."""

    mean: Latents
    log_scale: Latents

    def draw(self, keys: Key[Array, " batch"]) -> Latents:
        """Draws a latent per image."""
        return self.mean + jnp.exp(self.log_scale) * normal(keys, self.mean.shape[1])

    def kl(self) -> Latents:
        """Computes the KL divergence from the prior in nats, per latent dimension."""
        return 0.5 * (self.mean**2 + jnp.exp(2 * self.log_scale) - 1) - self.log_scale

    def log_weight(self, z: Latents) -> Float[Array, " batch"]:
        """Computes log p(z) - log q(z|x)."""
        noise = (z - self.mean) * jnp.exp(-self.log_scale)
        return jnp.sum(0.5 * (noise**2 - z**2) + self.log_scale, axis=1)


def keys_of(key: Key[Array, ""], images: Images) -> Key[Array, " batch"]:
    """Derives a key per image from its pixels, independent of its batch."""
    return jax.vmap(partial(jax.random.fold_in, key))(fingerprint(images))


def normal(keys: Key[Array, " batch"], count: int) -> Float[Array, "batch count"]:
    """Draws ``count`` standard normal numbers per key."""
    return jax.vmap(lambda key: jax.random.normal(key, (count,)))(keys)


def bounds(
    q: Posterior, nats_given: Callable[[Latents], Array], images: Images, *, key: Key[Array, ""], count: int
) -> dict[str, Float[Array, "batch ..."]]:
    """Computes variational bounds of the nats of each image, and their terms.

    Args:
      q: posterior of the images.
      nats_given: decoder nats given latents.
      images: the images.
      key: folded with each image's pixels.
      count: latents per image.

    Returns:
      The figures of the report, by name (importance weighting: Burda et al. 2016), and "latent" [batch, m], the mean
      of q.
    """

    def one_latent(key: Key[Array, ""]) -> Float[Array, "terms batch"]:
        z = q.draw(keys_of(key, images))
        reconstruction = nats_given(z)
        return jnp.stack([q.log_weight(z) - reconstruction, reconstruction])

    of_posterior, of_prior = jax.random.split(key)
    terms = jax.lax.map(one_latent, jax.random.split(of_posterior, count))
    bound = jax.nn.logsumexp(terms[:, 0], axis=0) - jnp.log(count)
    given_prior = nats_given(normal(keys_of(of_prior, images), q.mean.shape[1]))
    reconstruction, kl = jnp.mean(terms[:, 1], axis=0), jnp.sum(q.kl(), axis=1)
    return {
        "negative_elbo_nats": reconstruction + kl,
        "importance_weighted_bound_nats": -bound,
        "kl_nats": kl,
        "decoder_nats_given_the_code": reconstruction,
        "decoder_nats_given_a_code_of_the_prior": given_prior,
        "latent": q.mean,
    }


def posterior(networks: Networks, params: Params, images: Images) -> Posterior:
    """Computes q(z|x)."""
    mean, log_scale = jnp.split(apply_jitted(networks["encoder"], params["encoder"], images), 2, axis=1)
    return Posterior(mean, jnp.clip(log_scale, -6, 3))


def picture_source(config: RunConfig, splits: Splits) -> Images:
    """Takes the validation images of the lower half."""
    return take_images(splits.validation, config.train.sample_rows - config.train.sample_rows // 2)


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures both bounds, the KL divergence, and the decoder given the prior."""
    networks, images = experiment.networks, report_split(splits).subset(config.train.report_images)
    count = config.section.importance_samples

    def bounds_of(params: Params, batch: Batch) -> dict[str, Array]:
        decoder_nats = partial(nll, networks["decoder"], params["decoder"], batch["image"])
        q = posterior(networks, params, batch["image"])
        return bounds(q, lambda z: decoder_nats(h=z), batch["image"], key=run_keys(config).report, count=count)

    values = per_image(config, bounds_of)(params, images)
    # Burda et al. 2016: a unit is active if its mean varies with the image, by more than 0.01.
    active = int(np.sum(values.pop("latent").var(axis=0) > 0.01))
    means = {name: float(value.mean(dtype=np.float64)) for name, value in values.items()}
    return {"report_images": len(images), "importance_samples": count} | means | {"active_units": active}
