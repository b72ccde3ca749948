"""p(c|y) and p(d|c,y): the prior of a hierarchical VQ-VAE, given h and s.

c and d are coarse and fine maps of K-way codes (k-means of 8x8 and 4x4 patches). The score is the nats of both.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from experiments.shared.fingerprints import index_of_different_image
from experiments.shared.measuring import report_split
from experiments.shared.models import init_of_each
from pixelcnn_jax.data.dataset import Dataset, take_images
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.likelihood import nll
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables
from pixelcnn_jax.models.registry import make_network
from pixelcnn_jax.sampling import sample
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Params, Pictures, number_of_classes

COARSE, FINE = 8, 4  # height and width of the patches that a code stands for
CODES = 64  # K, of the vector quantiser
LEARNED_FROM = 2000  # images to fit the quantiser
POOL = 64  # images that provide a wrong coarse map

Codes = Int[Array, "batch rows columns 1"]
Patches = Float[Array | np.ndarray, "codes numbers"]  # one patch per code


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: nats of both maps of codes."""
    classes = number_of_classes(spec)
    if spec.height % COARSE or spec.width % COARSE:
        raise InputError(
            f"config.data.resize must make height and width multiples of {COARSE}, got {spec.height}x{spec.width}."
        )
    sizes = [(spec.height // size, spec.width // size) for size in (COARSE, FINE)]
    # Codes are images of one channel and K levels.
    network = make_network(config.model, replace(spec, channels=1, levels=CODES))
    # A dry run has no quantiser and needs shapes only.
    prepared = prepared or {
        "quantiser": {str(size): jnp.zeros((CODES, size**2 * spec.channels)) for size in (COARSE, FINE)}
    }

    networks, h = {"coarse": network, "fine": network}, jnp.zeros((1, classes))
    c, d = (jnp.zeros((1, *size, 1), jnp.int32) for size in sizes)
    init = init_of_each(networks, {"coarse": (c, h), "fine": (d, h, map_of(c))})

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        c, d = codes_by_map(prepared, batch["image"], spec.levels)
        return jnp.sum(nats_by_map(network, params, c, d, c, batch["label"], key), axis=1)

    def draw(params: Params, key: Key[Array, ""], source: None) -> Pictures:
        rows, columns = min(classes, config.train.sample_rows), config.train.sample_columns
        coarse_key, fine_key = jax.random.split(key)
        h = jnp.repeat(jnp.arange(rows), columns)
        c = sample(network, params["coarse"], coarse_key, shape=(len(h), *sizes[0]), h=h)
        d = sample(network, params["fine"], fine_key, shape=(len(h), *sizes[1]), h=h, s=map_of(c))
        images = images_of(d, prepared["quantiser"][str(FINE)], spec.channels)
        return jnp.round(images * (spec.levels - 1)).astype(jnp.int32).reshape(rows, columns, *spec.shape)

    caption = "Samples from their codes, one class per row."
    words: dict[str, Any] = {"measure": "nats_of_codes", "density": "codes given y", "caption": caption}
    return Experiment(init, loss, draw, networks, **words)


def map_of(codes: Codes) -> Float[Array, "batch fine_rows fine_columns codes"]:
    """Computes s of the fine network: the coarse code above, one-hot."""
    ratio = COARSE // FINE
    return jnp.repeat(jnp.repeat(jax.nn.one_hot(codes[..., 0], CODES), ratio, axis=1), ratio, axis=2)


def codes_by_map(prepared: Variables, images: Images, levels: int) -> list[Codes]:
    """Encodes images as c and d."""
    return [codes_of(images, prepared["quantiser"][str(size)], levels) for size in (COARSE, FINE)]


def nats_by_map(
    network: Network, params: Params, c: Codes, d: Codes, condition: Codes, h: Array, key: Key[Array, ""] | None = None
) -> Float[Array, "batch coarse_and_fine"]:
    """Computes the nats of c, and of d given the coarse map ``condition``."""
    keys = (None, None) if key is None else jax.random.split(key)
    of_c = nll(network, params["coarse"], c, h=h, key=keys[0])
    of_d = nll(network, params["fine"], d, h=h, s=map_of(condition), key=keys[1])
    return jnp.stack([of_c, of_d], axis=1)


def patches_of(images: Images, size: int, levels: int) -> Float[Array, "batch rows columns numbers"]:
    """Cuts images into adjacent patches, with intensities in [0, 1]."""
    batch, height, width, channels = images.shape
    cut = (images / (levels - 1)).reshape(batch, height // size, size, width // size, size, channels)
    return jnp.moveaxis(cut, 2, 3).reshape(batch, height // size, width // size, -1)


def codes_of(images: Images, codebook: Patches, levels: int) -> Codes:
    """Encodes each patch as the index of the nearest patch in the codebook."""
    size = round((codebook.shape[1] / images.shape[3]) ** 0.5)
    patches = patches_of(images, size, levels)
    distances = jnp.sum(codebook**2, axis=1)[None, None, None] - 2 * patches @ codebook.T
    return jnp.argmin(distances, axis=-1)[..., None].astype(jnp.int32)


def images_of(codes: Codes, codebook: Patches, channels: int) -> Float[Array, "batch height width channels"]:
    """Decodes codes to images, with intensities in [0, 1]."""
    batch, rows, columns, _ = codes.shape
    size = round((codebook.shape[1] / channels) ** 0.5)
    patches = jnp.asarray(codebook)[codes[..., 0]].reshape(batch, rows, columns, size, size, channels)
    return jnp.moveaxis(patches, 3, 2).reshape(batch, rows * size, columns * size, channels)


def fit_patches(images: Dataset, size: int, *, count: int, seed: int) -> Patches:
    """Fits k-means to patches."""
    from sklearn.cluster import MiniBatchKMeans

    few = take_images(images, min(len(images), LEARNED_FROM))
    patches = np.asarray(patches_of(few, size, images.spec.levels))
    numbers = patches.reshape(-1, patches.shape[-1])
    fitted = MiniBatchKMeans(min(count, len(numbers)), random_state=seed, n_init=1, batch_size=4096).fit(numbers)
    return fitted.cluster_centers_.astype(np.float32)


def prepare(config: RunConfig, splits: Splits) -> Variables:
    """Fits the quantiser: the patch of each code, by size."""
    learn = partial(fit_patches, splits.train, count=CODES, seed=config.seed)
    return {"quantiser": {str(size): learn(size) for size in (COARSE, FINE)}}


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params, prepared: Variables) -> Figures:
    """Measures the nats of each map, and the information in label and coarse map."""
    spec, images = splits.spec, report_split(splits).subset(config.train.report_images)
    pool = jnp.asarray(take_images(images, POOL))

    def measured(params: Params, batch: Batch) -> Float[Array, "batch ways parts"]:
        different = pool[index_of_different_image(batch["image"], pool)]
        (c, d), (c_of_another, _) = (codes_by_map(prepared, x, spec.levels) for x in (batch["image"], different))
        right, wrong = batch["label"], (batch["label"] + 1) % number_of_classes(spec)
        of_maps = partial(nats_by_map, experiment.networks["fine"], params, c, d)
        return jnp.stack([of_maps(c, right), of_maps(c, wrong), of_maps(c_of_another, right)], axis=1)

    plain, label, map_ = per_image(config, measured)(params, images).mean(axis=0, dtype=np.float64)
    return {
        "report_images": len(images),
        "nats_of_the_coarse_map": float(plain[0]),
        "nats_of_the_fine_map": float(plain[1]),
        "nats_lost_with_another_label": float(label.sum() - plain.sum()),
        "nats_lost_with_the_coarse_map_of_another_image": float(map_.sum() - plain.sum()),
    }
