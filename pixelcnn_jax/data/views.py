"""Distribution augmentation (Jun et al. 2020): images shown in other ways, and the model told in which, as h.

The model of each view is a model of its own, so the one of the images as they are stays an honest density of them; what
all views share is learned from more images. Afterwards the view can be folded into the biases.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from pixelcnn_jax.models.parameters import Params

View = Callable[[Array], Array]

WAYS = 8  # to turn and mirror a square image


def views(height: int, width: int) -> list[View]:
    """The ways to show images [batch, height, width, channels]: as they are, turned and mirrored, moved by a pixel."""
    mirrored = [partial(jnp.flip, axis=axes) for axes in ((), (2,), (1,), (1, 2))]
    turned = [lambda x, view=view: jnp.swapaxes(view(x), 1, 2) for view in mirrored] if height == width else []
    moves = [(down, right) for down in (0, 1, -1) for right in (0, 1, -1) if (down, right) != (0, 0)]
    return [*mirrored, *turned, *(partial(_moved, down=down, right=right) for down, right in moves)]


def show(
    key: Key[Array, ""], images: Int[Array, "batch height width channels"], share: float
) -> tuple[Int[Array, "batch height width channels"], Float[Array, "batch views"]]:
    """A ``share`` of the images in another view each, and as h which view that is, one-hot."""
    batch, height, width, _ = images.shape
    ways = views(height, width)
    key_other, key_view = jax.random.split(key)
    other = jax.random.bernoulli(key_other, share, (batch,))
    index = jnp.where(other, jax.random.randint(key_view, (batch,), 1, len(ways)), 0)
    shown = images
    for number, view in enumerate(ways):  # chosen, not looked up: a look-up would ask all devices for their images
        shown = jnp.where((index == number)[:, None, None, None], view(images), shown)
    return shown, jax.nn.one_hot(index, len(ways))


def turn(
    images: Int[Array, "batch height width channels"], which: Int[Array, " batch"]
) -> Int[Array, "batch height width channels"]:
    """Each square image turned and mirrored in one of eight ways; 0 leaves it as it is."""
    turned = images
    for number, view in enumerate(views(*images.shape[1:3])[:WAYS]):
        turned = jnp.where((which == number)[:, None, None, None], view(images), turned)
    return turned


def as_they_are(batch: int, height: int, width: int) -> Float[Array, "batch views"]:
    """The h of images that are shown as they are."""
    return jax.nn.one_hot(jnp.zeros(batch, jnp.int32), len(views(height, width)))


def fold(params: Params, h: Float[Array, " condition"]) -> Params:
    """The parameters of a model of p(x) that is p(x | h) for one h: V h goes into the biases (equation 4).

    The 1x1 from the vertical to the horizontal stack is taken before V h, but after the bias that V h is folded into;
    what it would add is taken off the horizontal bias again.
    """

    def layer(layer: Params) -> Params:
        kept = {name: part for name, part in layer.items() if name not in ("vertical_h", "horizontal_h")}
        vertical, horizontal = (jnp.moveaxis(layer[f"{stack}_h"], -3, 0) for stack in ("vertical", "horizontal"))
        down, across = jnp.tensordot(h, vertical, axes=1), jnp.tensordot(h, horizontal, axes=1)
        crossed = jnp.einsum("...ij,...ijkl->...kl", down, layer["crossing"]["kernel"])
        return kept | {
            "vertical": layer["vertical"] | {"bias": layer["vertical"]["bias"] + down},
            "horizontal": layer["horizontal"] | {"bias": layer["horizontal"]["bias"] + across - crossed},
        }

    return params | {"strict": layer(params["strict"]), "layers": layer(params["layers"])}


def _moved(images: Array, *, down: int, right: int) -> Array:
    _, height, width, _ = images.shape
    bordered = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return bordered[:, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
