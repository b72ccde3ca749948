"""Sentences as the numbers of their words."""

import difflib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int32

from pixelcnn_jax.foundation.errors import InputError

PADDING = 0  # the token after the last word of a sentence; a caption of nothing else is no caption


def split_words(sentence: str) -> list[str]:
    """Returns the words of a sentence in lower case, without punctuation."""
    return re.findall(r"[\w'-]+", sentence.lower())


def vocabulary(sentences: Iterable[str]) -> tuple[str, ...]:
    """Returns all words of sentences, sorted."""
    return tuple(sorted({word for sentence in sentences for word in split_words(sentence)}))


def tokenise(sentence: str, words: Sequence[str], *, length: int) -> Int32[np.ndarray, " length"]:
    """Returns a sentence as the numbers of its words, counted from 1, followed by zeros.

    Args:
      sentence: the sentence.
      words: the vocabulary.
      length: number of tokens.

    Raises:
      InputError: for a sentence without words, or with a word that is not known.
    """
    parts = split_words(sentence)
    for word in parts or [""]:
        if word not in words:
            near = ", ".join(difflib.get_close_matches(word, words, n=3, cutoff=0))
            raise InputError(f'A sentence must be of known words, got "{word}"; the nearest are {near}.')
    return np.array([*(words.index(word) + 1 for word in parts), *[PADDING] * (length - len(parts))], np.int32)
