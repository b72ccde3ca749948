"""Images by way of their codes: a tokenizer and the priors of its codes, as one model that is scored and sampled."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from pixelcnn_jax.likelihood import nll
from pixelcnn_jax.models.checks import check_values
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.inputs import ConditionLike, Images, Variables, apply_jitted
from pixelcnn_jax.models.tokenizer import Codes, Tokenizer
from pixelcnn_jax.sampling import sample

BITS_OF_CODES = "bits_of_codes"  # the measure of a prior of codes, which is no likelihood of pixels
TOKENIZERS = {"coarse_prior": "coarse_tokenizer", "prior": "tokenizer"}  # of each prior, in the order of drawing


class CodeModel(NamedTuple):
    """A model of images by way of codes: one or two tokenizers, and a prior of the codes of each.

    A tokenizer turns an image into a map of codes, and a map of codes back into an image. Its prior is a PixelCNN of
    such maps. With two tokenizers, the coarse codes are drawn first, and the fine prior reads them as its map s. The
    image is decoded from the fine codes alone.

    Attributes:
      networks: The networks "tokenizer" and "prior", and with two tokenizers also "coarse_tokenizer" and
        "coarse_prior". If the images are codes already, there is only "prior".
      variables: Their variables, by the same names.
    """

    networks: Mapping[str, Any]
    variables: Variables

    @property
    def priors(self) -> list[str]:
        """The names of the priors, in the order of drawing."""
        return [prior for prior, name in TOKENIZERS.items() if name in self.networks] or ["prior"]

    @property
    def conditioner(self) -> Any:
        """The conditioner of the first prior, which reads h; None if this prior reads h itself, a vector or a label."""
        return getattr(self.networks[self.priors[0]], "conditioner", None)

    def encode(self, images: Images) -> dict[str, Array]:
        """Computes the codes that each prior models, by its name; without a tokenizer, the images are these codes."""
        if "tokenizer" not in self.networks:
            return {"prior": jnp.asarray(images)}
        check_values(images, self.networks["tokenizer"].levels)
        return {name: self._run(TOKENIZERS[name], images, "encode") for name in self.priors}

    def bits(
        self, images: Images, *, h: ConditionLike | None = None, key: Key[Array, ""] | None = None
    ) -> Float[Array, " batch"]:
        """Computes the number of bits that the priors need for all codes of each image.

        It is not a likelihood of the image, because it does not count what the codes leave out.

        Args:
          images: Integers 0 to ``levels - 1`` of shape [batch, height, width, channels]; without a tokenizer, they are
            codes.
          h: The condition, one row per image; None for a model without a condition.
          key: PRNG key of the dropout; None, the default, disables it.

        Returns:
          Bits of shape [batch].
        """
        codes = self.encode(images)
        given = {name: self.condition(name, codes, h) for name in codes}
        nats = [nll(self.networks[name], self.variables[name], codes[name], **given[name], key=key) for name in codes]
        return jnp.sum(jnp.stack(nats), axis=0) / jnp.log(2)

    def sample(
        self,
        key: Key[Array, ""],
        *,
        shape: tuple[int, int, int],
        h: ConditionLike | None = None,
        observed: Images | None = None,
        mask: Bool[np.ndarray, "#batch height width 1"] | None = None,
        **options: Any,
    ) -> Images:
        """Draws codes, and decodes them.

        Args:
          key: A PRNG key.
          shape: Number of images, height and width.
          h: The condition, one row per image; None for a model without a condition.
          observed: Images to complete. Every code that depends on a hidden pixel is drawn, and the other codes are
            computed from the images. Then all codes are decoded, and the observed pixels are put back. The completions
            are approximate.
          mask: True at observed pixels.
          **options: ``temperature``, ``guidance`` and ``on_row`` of ``pixelcnn_jax.sample``.

        Returns:
          Integers 0 to ``levels - 1`` of shape [batch, height, width, channels].
        """
        codes, most = dict[str, Array](), self.networks[TOKENIZERS[self.priors[0]]].factor
        for name, its_key in zip(self.priors, jax.random.split(key), strict=False):
            factor = self.networks[TOKENIZERS[name]].factor
            rows, columns = (-(-side // most) * (most // factor) for side in shape[1:])  # whole coarse codes
            size = shape[0], rows, columns
            given = self.condition(name, codes, h) | {"observed": observed, "mask": mask}
            if observed is not None and mask is not None:
                grey = self.networks["tokenizer"].levels // 2
                known = self.encode(jnp.where(mask, observed, grey))[name]
                given |= {"observed": known, "mask": ~touched(np.logical_not(mask), factor)}
            codes[name] = sample(self.networks[name], self.variables[name], its_key, shape=size, **given, **options)
        images = self._run("tokenizer", codes["prior"], "decode")[:, : shape[1], : shape[2]]
        return images if observed is None or mask is None else jnp.where(mask, observed, images)

    def condition(self, name: str, codes: Mapping[str, Array], h: ConditionLike | None) -> dict[str, Any]:
        """Chooses the condition of a prior: h, and for the fine one of two also s, the map of the coarse codes."""
        if name == self.priors[0]:
            return {"h": h}
        # Only the coarse prior has a conditioner, which reads captions; the fine one reads labels itself.
        by_words = isinstance(self.networks["coarse_prior"], ConditionalModel)
        return {"h": None if by_words else h, "s": self.map_of(codes["coarse_prior"])}

    def map_of(self, codes: Codes) -> Float[Array, "batch height width values"]:
        """Computes s of the fine prior: at each place, the one-hot digits of the coarse code that covers it."""
        coarse: Tokenizer = self.networks["coarse_tokenizer"]
        ratio = coarse.factor // self.networks["tokenizer"].factor
        one_hot = jax.nn.one_hot(codes, coarse.values).reshape(*codes.shape[:3], -1)
        return jnp.repeat(jnp.repeat(one_hot, ratio, axis=1), ratio, axis=2)

    def _run(self, name: str, x: Any, method: str) -> Any:
        return apply_jitted(self.networks[name], self.variables[name], x, method)


def touched(hidden: Bool[np.ndarray, "#batch height width 1"], factor: int) -> Bool[Array, "#batch rows columns 1"]:
    """Finds the codes that depend on a hidden pixel, which lies in their own square or in a square beside it."""
    window, strides, padding = (3 * factor,) * 2, (factor,) * 2, ((factor, factor),) * 2
    return nn.max_pool(jnp.asarray(hidden, jnp.float32), window, strides, padding) > 0
