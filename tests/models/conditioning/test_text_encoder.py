"""From a sentence to a map: words in their order, padding without effect."""

import jax
import numpy as np
import pytest
from proofs import randomised

from pixelcnn_jax import InputError
from pixelcnn_jax.models.conditioning.text import split_words, vocabulary
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder

WORDS = ("blue", "circle", "on", "red", "square")
ENCODER = TextEncoder((3, 4, 5), WORDS, features=8, heads=2)
SENTENCES = ["red square on blue circle", "blue square on red circle", "square"]
TOKENS = ENCODER.tokens(SENTENCES)


def map_of(tokens):
    return ENCODER.apply(randomised(ENCODER.init(jax.random.key(0), TOKENS)), tokens)


def test_sentences_become_tokens():
    np.testing.assert_array_equal(TOKENS, [[4, 5, 3, 1, 2], [1, 5, 3, 4, 2], [5, 0, 0, 0, 0]])
    assert split_words("Red - 'half-open' square's.") == ["red", "half-open", "square's"]
    assert vocabulary(["a b", "B c"]) == ("a", "b", "c")


def test_the_order_of_words_and_the_place_in_the_image_matter():
    s = np.asarray(map_of(TOKENS))
    assert np.abs(s[0] - s[1]).max() > 1e-2  # the same words
    assert np.abs(s[0] - s[0, :1, :1]).max() > 1e-2


def test_padding_changes_nothing():
    padded = np.pad(TOKENS[2:], ((0, 0), (0, 3)))
    for tokens in (TOKENS[2:, :1], padded):
        np.testing.assert_allclose(map_of(tokens), map_of(TOKENS[2:]), atol=1e-5)


def test_no_caption_is_a_sentence_of_padding():
    s = np.asarray(map_of(np.zeros((1, 4), np.int32)))
    assert np.isfinite(s).all()
    np.testing.assert_allclose(s, np.broadcast_to(s[:, :1, :1], s.shape), atol=1e-5)  # "nothing" is everywhere


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("a red square", '"a".* nearest'),
        ("red sqare", '"sqare".* nearest are square'),
        (" .", "at least one word, got"),
    ],
)
def test_what_it_cannot_read_is_refused(sentence, named):
    with pytest.raises(InputError, match=named):
        ENCODER.tokens([sentence])


def test_tokens_beyond_the_vocabulary_are_refused():
    """They would be read as NaN."""
    for token in (len(WORDS) + 1, -1):
        with pytest.raises(InputError, match=f"h must hold integers 0 to {len(WORDS)}"):
            ENCODER.init(jax.random.key(0), np.full((1, 2), token, np.int32))
