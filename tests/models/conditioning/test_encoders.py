"""Encoders and decoders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.encoders import Deconvolution, Encoder, PixelShuffle, Upsampling


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (8, 8)])
def test_networks_around_the_decoder_take_any_size(height, width):
    images = jax.random.randint(jax.random.key(0), (2, height, width, 3), 0, 4)
    key, h = jax.random.key(1), jnp.ones((2, 5))
    vectors, _ = jax.eval_shape(Encoder(5, 4, (8, 8)).init_with_output, key, images)
    assert vectors.shape == (2, 5)
    maps, _ = jax.eval_shape(Deconvolution((height, width, 6), (8, 4)).init_with_output, key, h)
    assert maps.shape == (2, height, width, 6)
    twice, _ = jax.eval_shape(Upsampling(6, 4).init_with_output, key, images)
    assert twice.shape == (2, 2 * height, 2 * width, 6)


def test_a_small_image_of_other_levels_is_refused():
    with pytest.raises(InputError, match="h must"):
        Upsampling(6, 4).init(jax.random.key(0), jnp.full((1, 2, 2, 1), 4))


def test_an_enlargement_sees_its_surroundings_and_keeps_its_place():
    """Output [2i + k, 2j + l] depends on inputs next to [i, j], and on no others."""
    x = jax.random.normal(jax.random.key(0), (1, 4, 5, 2))
    module = PixelShuffle(3)
    variables = module.init(jax.random.key(1), x)
    jacobian = jax.jacfwd(lambda x: module.apply(variables, x)[0].sum(axis=-1))(x)[:, :, 0].sum(axis=-1)
    for row, column in ((0, 0), (3, 6), (7, 9)):
        near = [[abs(i - row // 2) <= 1 and abs(j - column // 2) <= 1 for j in range(5)] for i in range(4)]
        np.testing.assert_array_equal(jacobian[row, column] != 0, near)


def test_an_encoder_separates_images_whose_last_maps_are_few_and_of_one_pixel():
    images = jax.random.randint(jax.random.key(0), (2, 8, 8, 1), 0, 17)
    vectors, _ = Encoder(5, 17, (8, 8, 8)).init_with_output(jax.random.key(1), images)
    assert np.abs(vectors[0] - vectors[1]).min() > 1e-3


def test_an_encoder_ignores_what_all_maps_have_in_common():
    """The variance of a large constant plus small differences is that of the differences."""
    images = jax.random.randint(jax.random.key(0), (16, 8, 8, 1), 0, 17)
    module = Encoder(5, 17, (8, 8))
    variables = module.init(jax.random.key(1), images)
    shifted = {
        name: {key: x + 30 if name.startswith("Convolution") and key == "bias" else x for key, x in values.items()}
        for name, values in variables["params"].items()
    }
    vectors, actual = module.apply(variables, images), module.apply({"params": shifted}, images)
    np.testing.assert_allclose(actual, vectors, atol=2e-4)


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_deconvolution_reads_vectors_and_ends_at_the_size_of_its_map():
    """A card of a hundred bytes may ask for 40 stages, of which each doubles what the next one computes."""
    for h, named in ((jnp.zeros((1, 2)), "features must have fewer stages"), (jnp.zeros(2, int), "one_hot")):
        with pytest.raises(InputError, match=named):
            Deconvolution((8, 6, 3), (2,) * (40 if h.ndim == 2 else 1)).init(jax.random.key(0), h)
