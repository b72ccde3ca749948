"""Tokenisation of sentences by words."""

import difflib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int32

from pixelcnn_jax.foundation.errors import InputError

PADDING = 0  # a sentence of padding alone is no caption


def split_words(sentence: str) -> list[str]:
    """Splits a sentence into lower-case words without punctuation, except inside a word."""
    return re.findall(r"\w+(?:['-]\w+)*", sentence.lower())


def vocabulary(sentences: Iterable[str]) -> tuple[str, ...]:
    """Collects the sorted words of sentences."""
    return tuple(sorted({word for sentence in sentences for word in split_words(sentence)}))


def tokenise(sentence: str, words: Sequence[str], *, length: int) -> Int32[np.ndarray, " length"]:
    """Converts a sentence to word indices from 1, padded with 0 to ``length``.

    Raises:
      InputError: no word, or an unknown one.
    """
    parts = split_words(sentence)
    if not parts:
        raise InputError(f'A sentence must have at least one word, got "{sentence}".')
    for word in parts:
        if word not in words:
            near = ", ".join(difflib.get_close_matches(word, words, n=3, cutoff=0))
            raise InputError(f'A sentence must be of known words, got "{word}"; the nearest are {near}.')
    return np.array([*(words.index(word) + 1 for word in parts), *[PADDING] * (length - len(parts))], np.int32)
