"""Small models."""

import jax
import jax.numpy as jnp
import pytest


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """Returns the folder of a small model of images with a spec, made for an h, and with a conditioner or none."""
    from pixelcnn_jax import GatedPixelCNN
    from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
    from pixelcnn_jax.models.inputs import ImageSpec
    from pixelcnn_jax.zoo.pretrained import save_pretrained

    def save(*spec, h=None, conditioner=None, **card):
        spec = ImageSpec(*spec)
        network = GatedPixelCNN(levels=spec.levels, channels=spec.channels, features=8, layers=1)
        model = ConditionalModel(network, conditioner) if conditioner else network
        variables = model.init(jax.random.key(0), jnp.zeros((1, *spec.shape), jnp.int32), h)
        folder = tmp_path_factory.mktemp("model")
        save_pretrained(folder, model, variables, {"image_spec": spec} | card)
        return folder

    return save


@pytest.fixture(scope="session")
def colour_model(saved):
    return saved(6, 5, 3, 4)


@pytest.fixture(scope="session")
def class_model(saved):
    return saved(4, 4, 1, 3, 2, None, ("red", "1"), h=jnp.zeros((1, 2)))


@pytest.fixture(scope="session")
def views_model(saved):
    """A model of p(x) with a constant condition."""
    from pixelcnn_jax.models.conditioning.conditional_model import ConstantCondition

    return saved(6, 5, 3, 4, conditioner=ConstantCondition(7, 2), density="p(x)")


@pytest.fixture(scope="session")
def few_shot_model(saved):
    """A model that is given up to two examples."""
    from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder

    encoder, card = SetEncoder((8, 6, 3), 4, 2, (4, 6), 2), {"experiment": "few_shot", "config": {"few_shot": {}}}
    image = jnp.zeros((1, 1, 8, 6, 1), jnp.int32)
    return saved(8, 6, 1, 4, h=image, conditioner=encoder, density="p(x|examples)", **card)


@pytest.fixture(scope="session")
def caption_model(saved):
    """A model that is given sentences of three words."""
    from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder

    words = ("blue", "circle", "red")
    encoder, h = TextEncoder((4, 4, 2), words, 4, 2), jnp.ones((1, 2), jnp.int32)
    return saved(4, 4, 1, 3, None, words, h=h, conditioner=encoder, density="p(x|caption)")


@pytest.fixture(scope="session")
def integer_form(tmp_path_factory):
    """Returns the folder of the integer model of a model in a folder."""
    import numpy as np

    from pixelcnn_jax import load_pretrained, quantise
    from pixelcnn_jax.zoo.pretrained import save_pretrained

    def make(folder):
        model, variables, card = load_pretrained(folder)
        spec = card["image_spec"]
        images = np.random.default_rng(0).integers(spec.levels, size=(20, *spec.shape))
        h = np.eye(spec.classes, dtype=np.float32)[np.arange(20) % spec.classes] if spec.classes else None
        integer, variables = quantise(model, variables, images, h=h)
        new = tmp_path_factory.mktemp("integer")
        save_pretrained(new, integer, variables, card)
        return new

    return make


@pytest.fixture(scope="session")
def integer_model(integer_form, colour_model):
    """The integer model of ``colour_model``."""
    return integer_form(colour_model)


@pytest.fixture
def folder(tmp_path):
    """Images of two sizes, in folders, as a model of 4 levels could have drawn them."""
    import numpy as np
    from PIL import Image

    from pixelcnn_jax.data.pictures import as_pixels

    generator = np.random.default_rng(1)
    for name, size in (("one.png", (6, 5)), ("in/two.png", (6, 5)), ("in/deep/three.bmp", (2, 7))):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(as_pixels(generator.integers(0, 4, (*size, 3)), levels=4)).save(file)
    return tmp_path / "images"
