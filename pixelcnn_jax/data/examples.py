"""Data sets whose every image carries a set of examples, other images of its class: for few-shot generation."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.data.dataset import Dataset, random_generator
from pixelcnn_jax.data.source import Example
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.inputs import ABSENT

STREAM = 2**62  # separates the random numbers of sets from those of the images


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleSets(Dataset):
    """A split whose images carry "examples" [most, height, width, channels]: others of their class in the split.

    Their number is drawn from 0 to ``most``; values of those that are not there are ``ABSENT``.

    Attributes:
      images: the split without sets.
      members: indices of the images of each class.
      most: largest number of examples.
      full: carry ``most`` examples with every image, as far as its class has them.
    """

    images: Dataset
    members: Mapping[int, Int[np.ndarray, " members"]]
    most: int
    full: bool = False

    def draw(self, index: int, *, seed: int) -> Example:
        """Returns an example with its set, which every epoch draws anew."""
        example = super().draw(index, seed=seed)
        epoch, random = index // self.count, random_generator(seed, STREAM + index)
        others = self.members[int(example["label"])]
        others = random.permutation(others[others != example.pop("index")])
        count = self.most if self.full else random.integers(self.most + 1)
        examples = np.full((self.most, *self.spec.shape), ABSENT, np.int32)
        for place, other in enumerate(others[:count]):
            examples[place] = self.images.draw(epoch * len(self.images) + int(other), seed=seed)["image"]
        return example | {"examples": examples}


def with_examples(images: Dataset, most: int) -> ExampleSets:
    """Returns a split whose images carry up to ``most`` examples each.

    Raises:
      InputError: if the images carry no labels.
    """
    if images.spec.classes is None:
        raise InputError(f"config.data.examples={most} needs class labels: set config.data.labels.")
    labels = images.labels()
    fields = {one.name: getattr(images, one.name) for one in dataclasses.fields(Dataset)}
    fields["example"] = lambda index: images.example(index) | {"index": index}  # which a subset keeps
    members = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    return ExampleSets(**fields, images=images, members=members, most=most)
