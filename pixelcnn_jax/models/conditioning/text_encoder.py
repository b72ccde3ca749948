"""Network from a sentence to a map s (equation 5)."""

from collections.abc import Sequence
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from pixelcnn_jax.models.checks import check_values
from pixelcnn_jax.models.conditioning.text import PADDING, split_words, tokenise
from pixelcnn_jax.models.inputs import Tokens, Variables


class TextEncoder(nn.Module):
    """A network from a sentence to a map, by attention from the positions of the image to the words.

    The values of the attention are computed from each word alone, so what a word says does not depend on its
    neighbours. The keys are computed from the word and from a bidirectional GRU, which reads the whole sentence, so the
    places in the image where a word applies do depend on its neighbours. Beside the words, the attention has a learned
    key and value that stand for "no word", for places to which no word applies.

    Attributes:
      shape: Height, width and number of channels of the map; height and width are those of the images.
      words: The vocabulary; token i + 1 is word i, and token 0 pads.
      features: Width of the embeddings, of the GRU in each direction, and of the attention.
      heads: Number of attention heads, a divisor of ``features``.
    """

    shape: tuple[int, int, int]
    words: tuple[str, ...]
    features: int = 32
    heads: int = 4

    def __call__(self, tokens: Tokens) -> Float[Array, "batch height width outputs"]:
        """Computes the maps: the attention's output at each position, plus a projection of the mean word embedding.

        Args:
          tokens: Tokens of shape [batch, length], as the method ``tokens`` returns them.

        Returns:
          Maps of shape [batch, height, width, map_features].

        Raises:
          InputError: If a token is not in the vocabulary.
        """
        tokens = jnp.asarray(tokens)
        check_values(tokens, len(self.words) + 1, name="h")
        if self.is_initializing():
            return self.attend(tokens)
        return _attend(self.clone(parent=None, name=None), self.variables, tokens)

    @nn.compact
    def attend(self, tokens: Int32[Array, "batch length"]) -> Float[Array, "batch height width outputs"]:
        """Computes the maps of tokens that were checked.

        Args:
          tokens: Tokens of shape [batch, length].

        Returns:
          Maps of shape [batch, height, width, map_features].
        """
        is_word, head_size = tokens != PADDING, self.features // self.heads
        words = nn.Embed(len(self.words) + 1, self.features)(tokens)
        forward, backward = (nn.RNN(nn.GRUCell(self.features)) for _ in range(2))
        context = cast(Array, nn.Bidirectional(forward, backward)(words, seq_lengths=jnp.sum(is_word, axis=1)))

        def with_null(name: str, x: Array) -> Array:
            null = self.param(name, nn.initializers.normal(1.0), (self.features,))
            null = jnp.broadcast_to(null[None, None], (len(x), 1, self.features))
            return jnp.concatenate([null, x], axis=1).reshape(len(x), -1, self.heads, head_size)

        keys = with_null("null_key", nn.Dense(self.features)(jnp.concatenate([words, context], axis=2)))
        values = with_null("null_value", nn.Dense(self.features)(words))
        scores = jnp.einsum("hwnd,blnd->bhwnl", self._queries(head_size), keys)
        attended = jnp.pad(is_word, ((0, 0), (1, 0)), constant_values=True)[:, None, None, None]
        weights = jax.nn.softmax(jnp.where(attended, scores, -jnp.inf))
        local = jnp.einsum("bhwnl,blnd->bhwnd", weights, values).reshape(len(tokens), *self.shape[:2], self.features)
        pooled = jnp.sum(words * is_word[..., None], axis=1) / jnp.maximum(jnp.sum(is_word, axis=1, keepdims=True), 1)
        everywhere = nn.Dense(self.shape[2], use_bias=False)(pooled)[:, None, None]
        return nn.Dense(self.shape[2])(local) + everywhere

    @nn.nowrap
    def null_condition(self, tokens: Tokens) -> Tokens:
        """Builds the h of "no condition", for classifier-free guidance.

        Args:
          tokens: Tokens of shape [batch, length].

        Returns:
          Padding of the same shape.
        """
        return jnp.full_like(tokens, PADDING)

    def _queries(self, head_size: int) -> Float[Array, "height width heads {head_size}"]:
        rows, columns = (nn.Embed(size, self.features)(jnp.arange(size)) for size in self.shape[:2])
        places = nn.silu(nn.Dense(self.features)(rows[:, None] + columns[None]))
        return (nn.Dense(self.features)(places) / head_size**0.5).reshape(*self.shape[:2], self.heads, head_size)

    def tokens(self, sentences: Sequence[str]) -> Int32[np.ndarray, "sentences length"]:
        """Converts sentences to tokens.

        Args:
          sentences: Sentences of words in the vocabulary; capitals and punctuation do not matter.

        Returns:
          Tokens of shape [sentences, length], padded to the longest sentence.

        Raises:
          InputError: If a word is not in the vocabulary, or a sentence has no words.
        """
        length = max(len(split_words(sentence)) for sentence in sentences)
        return np.stack([tokenise(sentence, self.words, length=length) for sentence in sentences])


# Jitted so that eager calls do not compile the GRU each time; see ``autoregressive._head_outputs``.
@jax.jit(static_argnames="model", inline=True)
def _attend(model: TextEncoder, variables: Variables, tokens: Array) -> Array:
    return cast(Array, model.apply(variables, tokens, method="attend"))
