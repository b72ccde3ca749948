"""Views for distribution augmentation (Jun et al. 2020), with the view as h."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


def views(height: int, width: int) -> list[Callable[[Array], Array]]:
    """Builds the views of image batches: symmetries, then moves by 1 pixel."""
    moves = [(down, right) for down in (0, 1, -1) for right in (0, 1, -1) if (down, right) != (0, 0)]
    return [*symmetries(height, width), *(partial(_move, down=down, right=right) for down, right in moves)]


def symmetries(height: int, width: int) -> list[Callable[[Array], Array]]:
    """Builds the lossless views: four flips, the first of no axis, and for square images these transposed."""
    mirrored = [partial(jnp.flip, axis=axes) for axes in ((), (2,), (1,), (1, 2))]
    transposed = [lambda x, view=view: jnp.swapaxes(view(x), 1, 2) for view in mirrored] if height == width else []
    return [*mirrored, *transposed]


def random_view(
    key: Key[Array, ""], images: Int[Array, "batch height width channels"], share: float, indices: Sequence[int] = ()
) -> tuple[Int[Array, "batch height width channels"], Float[Array, "batch views"]]:
    """Draws a view per image; returns images and one-hot h.

    Args:
      share: probability of a view other than the identity.
      indices: those views, as indices of `views`; all if empty.
    """
    all_views = views(*images.shape[1:3])
    index = random_index(key, len(images), share, indices or range(1, len(all_views)))
    return _select(images, index, all_views), jax.nn.one_hot(index, len(all_views))


def random_index(key: Key[Array, ""], batch: int, share: float, indices: Sequence[int]) -> Int[Array, " batch"]:
    """Draws one of ``indices`` with probability ``share``, else 0, per image."""
    key_other, key_view = jax.random.split(key)
    other = jax.random.bernoulli(key_other, jnp.float32(share), (batch,))
    return jnp.where(other, jnp.array(indices)[jax.random.randint(key_view, (batch,), 0, len(indices), jnp.int32)], 0)


def rotate(
    images: Int[Array, "batch height width channels"], index: Int[Array, " batch"]
) -> Int[Array, "batch height width channels"]:
    """Rotates and mirrors each image in one of the ways of `symmetries`."""
    return _select(images, index, symmetries(*images.shape[1:3]))


def _select(images: Array, index: Array, all_views: list[Callable[[Array], Array]]) -> Array:
    """Computes all views: a gather would need every device's images."""
    shown = images
    for number, view in enumerate(all_views):
        shown = jnp.where((index == number)[:, None, None, None], view(images), shown)
    return shown


def _move(images: Array, *, down: int, right: int) -> Array:
    _, height, width, _ = images.shape
    bordered = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return bordered[:, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
