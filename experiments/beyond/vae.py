"""A variational auto-encoder with a PixelCNN decoder, future work of section 4.

The score is the negative ELBO in nats. ``free_nats`` counteracts posterior collapse.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from experiments.shared.measuring import apply, per_image, report_split
from experiments.shared.pieces import blank, draw_grid, init_of_each
from experiments.shared.posterior import Posterior, bounds, keys_of
from experiments.shared.settings import Encoded, Mapped
from pixelcnn_jax.data.dataset import Splits, take_images
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.likelihood import nats
from pixelcnn_jax.models.conditioning.encoders import Encoder
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables
from pixelcnn_jax.models.registry import make_conditional
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Networks, Params, Pictures
from pixelcnn_jax.training.step import keys


@dataclass(frozen=True, kw_only=True)
class Config(Encoded, Mapped):
    """Fields of ``config.vae``."""

    free_nats: float = field(0.0, "KL nats per latent dimension exempt from the penalty", least=0)
    importance_samples: int = field(32, "latents per image for the importance-weighted bound", least=1)


def make_experiment(config: RunConfig, spec: ImageSpec, fixed: Variables | None = None) -> Experiment:
    """Builds the experiment: the negative ELBO; pictures by latent dimension."""
    m = config.section.bottleneck
    decoder = make_conditional(config.model, spec, map_features=config.section.map_features)
    networks = {"decoder": decoder, "encoder": Encoder(2 * m, spec.levels, config.section.encoder_features)}
    nats_given = partial(nats, decoder)

    inputs = {"decoder": (blank(spec), jnp.zeros((1, m))), "encoder": (blank(spec),)}

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        images, q = batch["image"], posterior(networks, params, batch["image"])
        if key is None:  # drawn from a key of the image
            z = q.draw(keys_of(keys(config).score, images))
            return nats_given(params["decoder"], images, h=z) + jnp.sum(q.kl(), axis=1)
        code_key, dropout_key = jax.random.split(key)
        z = q.draw(jax.random.split(code_key, len(images)))
        # Free bits apply to the mean over a microbatch.
        kl = jnp.maximum(jnp.mean(q.kl(), axis=0), config.section.free_nats)
        return nats_given(params["decoder"], images, h=z, key=dropout_key) + jnp.sum(kl)

    def draw(params: Params, key: Key[Array, ""], source: Images) -> Pictures:
        rows, columns = config.train.sample_rows, max(2, config.train.sample_columns)
        shown, originals = rows // 2, jnp.asarray(source)
        rising = jnp.linspace(-3, 3, columns)[None, :, None] * jnp.eye(m)[jnp.arange(shown) % m, None]
        of_images = jnp.repeat(posterior(networks, params, originals).mean[:, None], columns, axis=1)
        z = jnp.concatenate([rising, of_images]).reshape(rows * columns, m)
        shared, different = jax.random.split(key)
        same = jnp.broadcast_to(shared, shown * columns)
        keys = jnp.concatenate([same, jax.random.split(different, len(of_images) * columns)])
        drawn = draw_grid(decoder, params["decoder"], keys, spec, rows, columns, h=z)
        return drawn.at[shown:, 0].set(originals)

    caption = "Above, in each row one number of the latent rises from -3 to 3 and the noise stays the same. "
    caption += "Below, samples given the latent of the first image."
    return Experiment(init_of_each(networks, inputs), loss, draw, networks, density="bound", caption=caption)


def posterior(networks: Networks, params: Params, images: Images) -> Posterior:
    """Computes q(z|x)."""
    mean, log_scale = jnp.split(apply(networks["encoder"], params["encoder"], images), 2, axis=1)
    return Posterior(mean, jnp.clip(log_scale, -6, 3))


def picture_source(config: RunConfig, splits: Splits) -> Images:
    """Takes the validation images of the lower half."""
    return take_images(splits.validation, config.train.sample_rows - config.train.sample_rows // 2)


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params, fixed: Variables) -> Figures:
    """Measures both bounds, the KL divergence, and the decoder given the prior."""
    networks, images = experiment.networks, report_split(splits).subset(config.train.report_images)
    count = config.section.importance_samples

    def bounds_of(params: Params, batch: Batch) -> dict[str, Array]:
        given = partial(nats, networks["decoder"], params["decoder"], batch["image"])
        q = posterior(networks, params, batch["image"])
        return bounds(q, lambda z: given(h=z), batch["image"], key=keys(config).report, count=count)

    values = per_image(config, bounds_of)(params, images)
    mean = {name: float(value.mean(dtype=np.float64)) for name, value in values.items()}
    return {
        "report_images": len(images),
        "negative_elbo_nats": mean["negative_elbo"],
        "importance_samples": count,
        "importance_weighted_bound_nats": mean["importance_weighted"],
        "kl_nats": mean["kl"],
        # Burda et al. 2016: a unit is active if its mean varies with the image, by more than 0.01.
        "active_units": int(np.sum(values["latent"].var(axis=0) > 0.01)),
        "decoder_nats_given_the_code": mean["given_code"],
        "decoder_nats_given_a_code_of_the_prior": mean["given_prior"],
    }
