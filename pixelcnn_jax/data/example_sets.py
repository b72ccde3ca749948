"""Example sets of the same class, and few-shot episodes."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.data.dataset import Augment, Dataset, random_generator
from pixelcnn_jax.data.source import Example
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ABSENT

STREAM = 2**62  # random stream of the sets, apart from the images'


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleSets(Dataset):
    """A split whose images carry "examples" of their class.

    "examples" is [max_examples, height, width, channels], padded with ``ABSENT``. Set sizes are the smaller of two
    draws from ``min_examples`` to ``max_examples``.

    Attributes:
      images: split without sets.
      members: image indices per class.
      max_examples: maximum number of examples.
      min_examples: minimum number, classes permitting.
    """

    images: Dataset
    members: Mapping[int, Int[np.ndarray, " members"]]
    max_examples: int
    min_examples: int = 0

    def get(self, index: int, *, seed: int, augment: Augment | None = None) -> Example:
        """Draws an example and its set, which is not augmented."""
        example = super().get(index, seed=seed, augment=augment)
        epoch, random = index // self.count, random_generator(seed, STREAM + index)
        members = self.members[int(example["label"])]
        members = random.permutation(members[members != example.pop("index")])
        count = random.integers(self.min_examples, self.max_examples + 1, size=2).min()
        examples = np.full((self.max_examples, *self.spec.shape), ABSENT, np.int32)
        for place, member in enumerate(members[:count]):
            examples[place] = self.images.get(epoch * len(self.images) + int(member), seed=seed)["image"]
        return example | {"examples": examples}


def with_examples(images: Dataset, max_examples: int, min_examples: int = 0) -> ExampleSets:
    """Adds ``min_examples`` to ``max_examples`` examples to each image.

    Raises:
      InputError: without labels, or if ``min_examples`` is above ``max_examples``.
    """
    if min_examples > max_examples or images.spec.classes is None:
        raise InputError(f"max_examples={max_examples} needs labels and no larger min_examples, got {min_examples}.")
    labels = images.labels()
    fields = vars(images) | {"example": lambda index: images.example(index) | {"index": index}}  # which a subset keeps
    members = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    return ExampleSets(**fields, images=images, members=members, max_examples=max_examples, min_examples=min_examples)


def episodes(pools: Sequence[ExampleSets], count: int, *, ways: int, shots: int, seed: int) -> Dataset:
    """Builds few-shot episodes: an image, and example sets of several classes.

    Episode i is a function of the seed and i. "label" is the image's class, as index into the sets.

    Args:
      pools: splits with examples; each episode uses one.
      count: number of episodes.
      ways: maximum classes per episode.
      shots: examples per class.
      seed: of every draw.

    Raises:
      InputError: for pools without, or unequal in, classes of more than ``shots`` images.
    """
    pool_labels = [[label for label, members in pool.members.items() if len(members) > shots] for pool in pools]
    sizes = [min(ways, len(labels)) for labels in pool_labels]
    if min(sizes) < max(1, *sizes):
        raise InputError(f"The pools of an episode must have as many classes of more than {shots} images, got {sizes}.")

    def episode(index: int) -> Example:
        random = random_generator(seed, index)
        pool = pools[index % len(pools)]
        classes = random.permutation(pool_labels[index % len(pools)])[:ways]
        right = int(random.integers(len(classes)))
        members = [random.permutation(pool.members[label])[: shots + 1] for label in classes]
        images = np.array([[pool.images.get(int(row), seed=0)["image"] for row in rows] for rows in members])
        return {"image": images[right, shots], "label": np.int32(right), "examples": images[:, :shots]}

    return Dataset(episode, count, pools[0].spec, f"{count} episodes of {pools[0].description}")
