"""Integer models of 16-bit counts: bits above the float model and above the true entropy, and images coded in tiles.

Every patch of 32x32 pixels has one intensity, log-uniform from 50 to 50,000 photons, and Poisson counts; s is the
logarithm of the intensity. A small network is trained, converted, and compared on new patches. With --size, it then
codes an image of such patches in tiles and decodes the first tile, the second time without compiling.
"""

import json
import math
import resource
import time
from typing import Any

import click
import jax
import numpy as np
from scipy.special import gammaln

from pixelcnn_jax import GatedPixelCNN, bits_per_dim, compress, decompress, fit, quantise
from pixelcnn_jax.foundation.user_command import UserCommand

PATCH = 32
NETWORK = {"features": 16, "layers": 2, "first_kernel_size": 5, "mixture": 1}


def patches(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws counts and their map s."""
    random = np.random.default_rng(seed)
    log_intensity = random.uniform(math.log(50), math.log(50_000), (count, 1, 1, 1))
    s = np.broadcast_to(log_intensity, (count, PATCH, PATCH, 1))
    return random.poisson(np.exp(s)).clip(0, 2**16 - 1).astype(np.uint16), s.astype(np.float32)


def image_of(height: int, width: int) -> tuple[np.ndarray, ...]:
    """Draws one image of patches, and its map s."""
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    grids = (x.reshape(rows, columns, PATCH, PATCH).swapaxes(1, 2) for x in patches(rows * columns, seed=2))
    return tuple(x.reshape(1, rows * PATCH, columns * PATCH, 1)[:, :height, :width] for x in grids)


def mean_bits(model: Any, variables: Any, images: np.ndarray, s: np.ndarray) -> float:
    parts = [slice(start, start + 20) for start in range(0, len(images), 20)]
    return float(np.mean([bits_per_dim(model, variables, images[part], s=s[part]) for part in parts]))


def true_bits(images: np.ndarray, s: np.ndarray) -> float:
    """Averages -log2 of the probabilities that the counts were drawn from."""
    exact = s.astype(float)
    return float(-(images * exact - np.exp(exact) - gammaln(images + 1.0)).mean() / math.log(2))


def code(model: Any, variables: Any, size: str, tile: int) -> dict[str, Any]:
    images, s = image_of(*map(int, size.split("x")))
    result: dict[str, Any] = {"size": size, "tile": tile}
    first = images[:, :tile, :tile], s[:, :tile, :tile]
    for name in ("writing", "first_tile_cold", "first_tile"):
        began, cpu = time.perf_counter(), time.process_time()
        if name == "writing":
            data = compress(model, variables, images, s=s, tile=tile, verify=False)
        else:
            assert (decompress(model, variables, data, s=first[1], tile=(0, 0)) == first[0]).all()
        result[name] = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    return result | {"bytes": len(data), "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


@click.command(cls=UserCommand, help=__doc__)
@click.option("--size", "sizes", multiple=True, help="Height and width of an image to code, as in 4096x4096.")
@click.option("--tile", default=256, show_default=True, help="Side of a tile.")
@click.option("--steps", default=8000, show_default=True, help="Training steps of eight patches.")
def main(sizes: tuple[str, ...], tile: int, steps: int) -> None:
    network: dict[str, Any] = NETWORK
    model, (images, s) = GatedPixelCNN(levels=2**16, linear_prediction=True, **network), patches(1000, seed=0)
    arguments: dict[str, Any] = {"steps": steps, "learning_rate": 1e-2, "batch_size": 8, "validation": 0.02}
    began = time.process_time()
    model, variables, _ = fit(model, images, s=s, eval_every=max(1, steps // 5), progress=False, **arguments)
    result: dict[str, Any] = {"benchmark": "counts", "training_cpu_seconds": time.process_time() - began}
    images, s = patches(200, seed=0)
    integer = quantise(model, variables, images, s=s)
    images, s = patches(100, seed=1)
    result |= {"float_bits": mean_bits(model, variables, images, s), "integer_bits": mean_bits(*integer, images, s)}
    result |= {"true_bits": true_bits(images, s), "device": jax.devices()[0].device_kind}
    print(json.dumps(result))
    for size in sizes:
        print(json.dumps(code(*integer, size, tile)))


if __name__ == "__main__":
    main()
