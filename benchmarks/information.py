"""Information against photons for two simulated lenses that see bright spots: one is sharp, and one blurs.

python -m benchmarks.information [--steps=400] [--plot=docs/pictures/information.png]
"""

import json

import click
import numpy as np
from scipy.ndimage import gaussian_filter

from pixelcnn_jax import fit, information
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.noise import Poisson
from pixelcnn_jax.zoo.registry import ModelConfig

LENSES = {"sharp": 0.5, "blurred": 1.5}  # standard deviation of the blur in pixels
PHOTONS = (3, 30, 300)  # mean of a pixel
SIZE, TRAINED, TESTED = 8, 4000, 1000
MODEL = ModelConfig(features=16, layers=4, mixture=8, point_masses=True)


@click.command(cls=UserCommand, help=__doc__)
@click.option("--steps", default=400, show_default=True, help="Training steps of each model.")
@click.option("--plot", type=click.Path(dir_okay=False), help="Picture to write.")
def main(steps: int, plot: str | None) -> None:
    import matplotlib.pyplot as plt

    rows = []
    for lens, blur in LENSES.items():
        for photons in PHOTONS:
            random = np.random.default_rng(0)
            spots = random.gamma(0.2, 5, (TRAINED + TESTED, SIZE, SIZE))
            clean = photons * gaussian_filter(spots, (0, blur, blur), mode="wrap")
            noisy = random.poisson(clean)
            model, variables, _ = fit(MODEL, noisy[:TRAINED], levels=int(noisy.max()) + 1, steps=steps, progress=False)
            found = information(model, variables, noisy[TRAINED:], noise=Poisson(), clean=clean[TRAINED:])
            print(f"{lens:8} {photons:4} photons: {found.bits:.3f} bits per pixel, 95 % {found.interval}", flush=True)
            rows.append({"lens": lens, "photons": photons} | found._asdict())
        x, y, ends = (np.array([row[key] for row in rows[-len(PHOTONS) :]]) for key in ("photons", "bits", "interval"))
        plt.errorbar(x, y, abs(ends.T - y), label=lens, marker=".", capsize=3)
    plt.gca().set(xscale="log", xlabel="photons per pixel", ylabel="information, bits per pixel")
    plt.legend()
    if plot:
        plt.savefig(plot, dpi=120)
    print(json.dumps({"benchmark": "information", "steps": steps, "points": rows}))


if __name__ == "__main__":
    main()
