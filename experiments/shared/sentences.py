"""The captions of a data set, as tokens: which of them are one, and how to walk from one to the next."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.training.experiment import Batch

Captions = Int[np.ndarray, "captions words"]


def one_caption_of_each(
    batches: Sequence[Batch],
) -> tuple[list[Int[np.ndarray, " images"]], Captions]:
    """Returns the index of each image's caption, batch by batch, and the captions: one of each label, or all."""
    captions = np.concatenate([batch["caption"] for batch in batches])
    labelled = "label" in batches[0]
    meanings = np.concatenate([batch["label"] for batch in batches])[:, None] if labelled else captions
    _, first, index = np.unique(meanings, axis=0, return_index=True, return_inverse=True)
    ends = np.cumsum([len(batch["caption"]) for batch in batches])[:-1]
    return np.split(index.reshape(-1), ends), captions[first]


def word_by_word(start: Int[np.ndarray, " words"], captions: Captions, count: int) -> Int[np.ndarray, "{count} words"]:
    """Returns a walk through different captions, each of which differs from the one before in a single word.

    Words at all positions take turns. The walk stays where it is once there is nowhere to go.
    """
    walk, turns = [start], np.zeros(len(start), int)
    known = np.unique(captions, axis=0)
    while len(walk) < count:
        unseen = known[(known[:, None] != np.stack(walk)[None]).any(axis=2).all(axis=1)]
        near = unseen[np.sum(unseen != walk[-1], axis=1) == 1]
        changed = np.argmax(near != walk[-1], axis=1)
        best = int(np.argmin(turns[changed])) if len(near) else None
        walk.append(walk[-1] if best is None else near[best])
        turns += walk[-1] != walk[-2]
    return np.stack(walk)
