"""Batches of a data set; batch k is a function of k and the seed alone."""

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.data.dataset import Dataset, random_generator, stack
from pixelcnn_jax.data.source import Example, Reader, read_ahead


def training_batches(
    dataset: Dataset,
    *,
    batch_size: int,
    seed: int,
    flip: bool = False,
    shift: int = 0,
    images_per_class: int = 1,
    process_index: int = 0,
    process_count: int = 1,
) -> Reader:
    """Makes the function from k to batch k of endless shuffled epochs.

    A batch is {"image": int32 [batch, height, width, channels]} plus, with labels, {"label": int32 [batch]}.

    Args:
      batch_size: over all processes, a multiple of their number.
      seed: of order, augmentation and dynamic binarisation.
      flip: mirror half of the images horizontally.
      shift: maximum translation in pixels, zero-padded.
      images_per_class: consecutive images of one class.
    """
    rows = batch_size // process_count
    draw_seed, *seeds = np.random.SeedSequence(seed).generate_state(3).tolist()
    augment = functools.partial(augmented, flip=flip, shift=shift, seeds=seeds)
    labels = dataset.labels() if images_per_class > 1 else None
    count = len(dataset)

    @functools.lru_cache(maxsize=2)  # the epoch being read and the next
    def order(epoch: int) -> np.ndarray:
        random = np.random.default_rng([seed, epoch])
        mixed = random.permutation(count)
        return mixed if labels is None else _group_classes(mixed, labels, images_per_class, random)

    def example(place: int) -> Example:
        epoch, place = divmod(place, count)
        index = epoch * count + int(order(epoch)[place])  # random numbers belong to an image and an epoch
        return dataset.get(index, seed=draw_seed, augment=functools.partial(augment, index=index))

    def batch(step: int) -> Example:
        start = step * batch_size + process_index * rows
        return stack([example(place) for place in range(start, start + rows)])

    return batch


def augmented(image: np.ndarray, *, index: int, flip: bool, shift: int, seeds: list[int]) -> np.ndarray:
    """Mirrors half of the images, and translates by at most ``shift`` pixels, zero-padded.

    Args:
      index: of the image and its epoch.
      seeds: of flips and shifts.
    """
    flip_seed, shift_seed = seeds
    if flip and random_generator(flip_seed, index).random() < 0.5:
        image = image[:, ::-1]
    if not shift:
        return image
    down, right = random_generator(shift_seed, index).integers(0, 2 * shift, size=2, endpoint=True)
    bordered = np.zeros(np.add(image.shape, (2 * shift, 2 * shift, 0)), image.dtype)  # np.pad is ten times slower
    bordered[shift:-shift, shift:-shift] = image
    return bordered[down : down + image.shape[0], right : right + image.shape[1]]


def evaluation_batches(
    dataset: Dataset, *, batch_size: int, process_index: int = 0, process_count: int = 1
) -> Iterator[Example]:
    """Yields every image in order, in batches of equal size, padded by the last image.

    ``batch_size`` is over all processes, a multiple of their number.
    """
    rows, last = batch_size // process_count, len(dataset) - 1

    def batch(number: int) -> Example:
        start = number * batch_size + process_index * rows
        return stack([dataset.get(min(place, last), seed=0) for place in range(start, start + rows)])

    return read_ahead(batch, stop=-(-len(dataset) // batch_size))


def _group_classes(
    order: Int[np.ndarray, " count"], labels: Int[np.ndarray, " count"], size: int, random: np.random.Generator
) -> Int[np.ndarray, " count"]:
    """Reorders into runs of ``size`` images of one class."""
    by_class = order[np.argsort(labels[order], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[by_class], prepend=-1))
    groups = [g for c in np.split(by_class, starts[1:]) for g in np.split(c, range(size, len(c), size))]
    return np.concatenate([groups[i] for i in random.permutation(len(groups))])
