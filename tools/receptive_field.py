"""Receptive fields of each network by Jacobians, after figure 1 of 1606.05328.

python -m tools.receptive_field

Untrained networks, six layers of 3x3 after one of 5x5: |d logit / d pixel| of the centre pixel, averaged over random
parameters and images, relative to the maximum, in logarithmic scale. Earlier pixels without influence are grey.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM
from pixelcnn_jax.models.autoregressive import Network, encode
from pixelcnn_jax.models.inputs import Condition

SIZE, CENTRE = 15, (7, 7)
NETWORKS: dict[str, type[Network]] = {
    "PixelCNN": PixelCNN,
    "Row LSTM": RowLSTM,
    "Diagonal BiLSTM": DiagonalBiLSTM,
    "Gated PixelCNN": GatedPixelCNN,
}
DRAWS = 16  # of parameters and an image
DECADES = 5  # on the colour scale
UNSEEN, LATER = 0.72, 0.95  # greys
# Without the palest colours, which would look grey.
COLOURS = LinearSegmentedColormap.from_list("seen", mpl.colormaps["YlOrRd"](np.linspace(0.1, 1, 64)))
FILE = Path(__file__).parents[1] / "docs" / "pictures" / "receptive_fields.png"


def dependence(model: Network) -> np.ndarray:
    """Averages |d logit / d pixel| of the centre pixel over all draws."""
    condition = Condition()

    @jax.jit
    def of_one(key: jax.Array) -> jax.Array:
        parameter_key, image_key = jax.random.split(key)
        images = jax.random.randint(image_key, (1, SIZE, SIZE, 1), 0, model.levels)
        params = dict(model.init(parameter_key, images)["params"])

        def centre(inputs: jax.Array) -> jax.Array:
            return model.forward(params, inputs, condition)[0, *CENTRE, 0]

        jacobian = jax.jacrev(centre)(encode(model, params, images))
        return jnp.abs(jacobian[:, 0, :, :, 1]).sum(axis=0)

    return np.mean([of_one(key) for key in jax.random.split(jax.random.key(0), DRAWS)], axis=0)


def panel(axes: Axes, name: str, strength: np.ndarray) -> AxesImage:
    before = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) < CENTRE[0] * SIZE + CENTRE[1]
    axes.imshow(np.where(before, UNSEEN, LATER), cmap="gray", vmin=0, vmax=1)
    seen = np.ma.masked_equal(strength / strength.max(), 0)
    image = axes.imshow(seen, cmap=COLOURS, norm=LogNorm(10.0**-DECADES, 1, clip=True))
    axes.add_patch(Rectangle((CENTRE[1] - 0.5, CENTRE[0] - 0.5), 1, 1, color="black"))
    axes.set_title(name, fontsize=12)
    axes.set_xlabel(f"sees {seen.count()} of the {before.sum()} pixels before", fontsize=11)
    axes.set_xticks(np.arange(SIZE + 1) - 0.5, [])
    axes.set_yticks(np.arange(SIZE + 1) - 0.5, [])
    axes.grid(color="white", linewidth=0.7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def main() -> None:
    figure, panels = plt.subplots(2, 2, figsize=(6.4, 7.0), layout="constrained")
    for axes, (name, network) in zip(panels.flat, NETWORKS.items(), strict=True):
        strength = dependence(network(levels=4, features=16, layers=6, kernel_size=3, first_kernel_size=5))
        image = panel(axes, name, strength)
        print(f"{name:16} {np.count_nonzero(strength):4} pixels")
    bar = figure.colorbar(image, ax=panels, shrink=0.6, pad=0.01)
    bar.set_label("dependence on a pixel", fontsize=11)
    bar.ax.tick_params(labelsize=11)
    meanings = {"the pixel": "black", "not seen": str(UNSEEN), "comes later": str(LATER)}
    figure.legend(
        handles=[Patch(color=colour, label=meaning) for meaning, colour in meanings.items()],
        loc="outside lower center",
        ncols=len(meanings),
        frameon=False,
        fontsize=11,
    )
    figure.savefig(FILE, dpi=110)


if __name__ == "__main__":
    main()
