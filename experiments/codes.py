"""p(c|y) and p(d|c,y) of maps of codes: the prior of a hierarchical VQ-VAE, given a label as h and a map as s at once.

python -m experiments.codes --config=configs/mnist_codes.py --workdir=runs/mnist_codes

A small vector quantiser (k-means of patches) turns an image into a coarse map c of K-way codes, of 8x8 patches, and a
fine one d, of 4x4 patches. Two networks, which read codes through an embedding, learn them: c given the label, d given
the label and the map s of the coarse code above each fine one. The score is nats of both maps. The picture has a row a
class, of images put together from the patches that the drawn fine codes stand for.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli
from experiments.network import make_network
from pixelcnn_jax import sample
from pixelcnn_jax.data.dataset import Images, some_images
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.likelihood import nats_of
from pixelcnn_jax.models.inputs import another
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits, evaluator

COARSE, FINE = 8, 4  # height and width of the patches that a code stands for
LEARNED_FROM = 2000  # images whose patches the quantiser is fitted to
POOL = 64  # images whose coarse maps are tried


def make_experiment(config: ConfigDict, splits: Splits) -> Experiment:
    """Nats of the maps of codes as the loss; what the label and the coarse map are worth as the report."""
    (height, width, channels), levels, classes = splits.train.shape, splits.train.levels, splits.train.classes
    if classes is None or height % COARSE or width % COARSE:
        raise InputError(
            f"experiments.codes needs class labels, and a height and width that are multiples of {COARSE}."
        )
    coarse = make_network(config, levels=config.codes, channels=1)
    fine = coarse.clone()
    patches = {size: quantiser(splits.train, size, config.codes, seed=config.seed) for size in (COARSE, FINE)}

    @partial(jax.jit, static_argnames="size")
    def encode(params: Params, images: Array, size: int) -> Int[Array, "batch rows columns 1"]:
        return codes_of(images, params["frozen"][str(size)], levels)

    def h_of(labels: Int[Array, " batch"]) -> Float[Array, "batch classes"]:
        return jax.nn.one_hot(labels, classes)

    def s_of(codes: Int[Array, "batch rows columns 1"]) -> Float[Array, "batch fine_rows fine_columns codes"]:
        ratio = COARSE // FINE
        return jnp.repeat(jnp.repeat(jax.nn.one_hot(codes[..., 0], config.codes), ratio, axis=1), ratio, axis=2)

    def init(key: Key[Array, ""]) -> Params:
        keys = jax.random.split(key)
        h = jnp.zeros((1, classes))
        c = jnp.zeros((1, height // COARSE, width // COARSE, 1), jnp.int32)
        d = jnp.zeros((1, height // FINE, width // FINE, 1), jnp.int32)
        return {
            "coarse": dict(coarse.init(keys[0], c, h)),
            "fine": dict(fine.init(keys[1], d, h, s_of(c))),
            "frozen": {str(size): jnp.asarray(known) for size, known in patches.items()},
        }

    def parts(
        params: Params,
        images: Array,
        labels: Array,
        key: Key[Array, ""] | None = None,
        *,
        moved: bool = False,
        others: Int[Array, "others height width channels"] | None = None,
    ) -> Float[Array, "batch parts"]:
        """Nats of c and of d; where asked for given another label, or the coarse map of another of some images."""
        keys = (None, None) if key is None else jax.random.split(key)
        c, d = encode(params, images, COARSE), encode(params, images, FINE)
        h = h_of((labels + 1) % classes if moved else labels)
        s = s_of(c if others is None else encode(params, others, COARSE)[another(images, others)])
        of_c = nats_of(coarse, params["coarse"], c, h=h, key=keys[0])
        return jnp.stack([of_c, nats_of(fine, params["fine"], d, h=h, s=s, key=keys[1])], axis=1)

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        return jnp.sum(parts(params, batch["image"], batch["label"], key), axis=1)

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        rows, columns = min(classes, config.sample_rows), config.sample_columns
        count, keys = rows * columns, jax.random.split(key)
        h = h_of(jnp.repeat(jnp.arange(rows), columns))
        c = sample(coarse, params["coarse"], keys[0], shape=(count, height // COARSE, width // COARSE), h=h)
        d = sample(fine, params["fine"], keys[1], shape=(count, height // FINE, width // FINE), h=h, s=s_of(c))
        images = images_of(d, params["frozen"][str(FINE)], channels)
        return jnp.round(images * (levels - 1)).astype(jnp.int32).reshape(rows, columns, height, width, channels)

    def report(params: Params) -> dict[str, Any]:
        images = splits.reported.some(config.report_images)
        others = jnp.asarray(some_images(images, POOL))

        def measured(params: Params, batch: Batch) -> Float[Array, "batch ways parts"]:
            of = partial(parts, params, batch["image"], batch["label"])
            ways = [of(), of(moved=True), of(others=others)]
            return jnp.stack(ways, axis=1)

        own, label, map_ = evaluator(measured, config)(params, images).mean(axis=0, dtype=np.float64)
        return {
            "report_images": len(images),
            "nats_of_the_coarse_map": float(own[0]),
            "nats_of_the_fine_map": float(own[1]),
            "nats_lost_with_another_label": float(label.sum() - own.sum()),
            "nats_lost_with_the_coarse_map_of_another_image": float(map_.sum() - own.sum()),
        }

    return Experiment(init, loss, draw, measure="nats_of_codes", score_of="codes given y", report=report)


def patches_of(
    images: Int[Array | np.ndarray, "batch height width channels"], size: int, levels: int
) -> Float[Array, "batch rows columns numbers"]:
    """Patches of intensities 0 to 1, side by side."""
    batch, height, width, channels = images.shape
    cut = (images / (levels - 1)).reshape(batch, height // size, size, width // size, size, channels)
    return jnp.moveaxis(cut, 2, 3).reshape(batch, height // size, width // size, -1)


def codes_of(
    images: Int[Array, "batch height width channels"], known: Float[Array, "codes numbers"], levels: int
) -> Int[Array, "batch rows columns 1"]:
    """The nearest known patch to each patch of images."""
    size = round((known.shape[1] / images.shape[3]) ** 0.5)
    patches = patches_of(images, size, levels)
    distances = jnp.sum(known**2, axis=1)[None, None, None] - 2 * patches @ known.T
    return jnp.argmin(distances, axis=-1)[..., None].astype(jnp.int32)


def images_of(
    codes: Int[Array, "batch rows columns 1"], known: Float[Array, "codes numbers"], channels: int
) -> Float[Array, "batch height width channels"]:
    """Images put together from the patches that codes stand for, as intensities 0 to 1."""
    batch, rows, columns, _ = codes.shape
    size = round((known.shape[1] / channels) ** 0.5)
    patches = known[codes[..., 0]].reshape(batch, rows, columns, size, size, channels)
    return jnp.moveaxis(patches, 3, 2).reshape(batch, rows * size, columns * size, channels)


def quantiser(images: Images, size: int, codes: int, *, seed: int) -> Float[np.ndarray, "codes numbers"]:
    """The centres of k-means of patches; zeros of that shape where there are no images, for a run to be restored to."""
    from sklearn.cluster import MiniBatchKMeans

    if not len(images):
        return np.zeros((codes, size * size * images.shape[2]), np.float32)
    few = some_images(images, min(len(images), LEARNED_FROM))
    patches = np.asarray(patches_of(few, size, images.levels))
    numbers = patches.reshape(-1, patches.shape[-1])
    if len(numbers) < codes:
        raise InputError(f"{images.description} holds {len(numbers)} patches, fewer than the {codes} codes.")
    fitted = MiniBatchKMeans(codes, random_state=seed, n_init=1, batch_size=4096).fit(numbers)
    return fitted.cluster_centers_.astype(np.float32)


if __name__ == "__main__":
    cli.main(make_experiment)
