"""Small models, and the command as a function."""

import re

import jax
import jax.numpy as jnp
import pytest


@pytest.fixture
def pixelcnn():
    """Runs the command in this process; returns its standard output, or for a mistake its standard error."""
    from click.testing import CliRunner

    from pixelcnn_jax.cli import main

    def run(*arguments, mistake=False):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        stderr = re.sub(r"(?m)^\w+: \d+ of \d+\n", "", result.stderr)  # progress, on a slow machine
        if mistake:
            assert result.exit_code == 1, (result.output, result.exception)
            assert isinstance(result.exception, SystemExit)
            assert stderr.startswith("Error: ")
            assert len(stderr.splitlines()) == 1
            return stderr
        assert result.exit_code == 0, (result.output, result.exception)
        assert stderr == ""
        return result.stdout

    return run


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory):
    """A model of 6x5 images with three channels of 4 levels."""
    from pixelcnn_jax import GatedPixelCNN
    from pixelcnn_jax.models.inputs import ImageSpec
    from pixelcnn_jax.pretrained import save_pretrained

    model = GatedPixelCNN(levels=4, channels=3, features=12, layers=1)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 6, 5, 3), jnp.int32))
    folder = tmp_path_factory.mktemp("colour")
    save_pretrained(folder, model, variables, {"image_spec": ImageSpec(6, 5, 3, 4)})
    return folder


@pytest.fixture(scope="session")
def class_model(tmp_path_factory):
    """A model of 4x4 grey images with 3 levels, given one of two classes."""
    from pixelcnn_jax import GatedPixelCNN
    from pixelcnn_jax.models.inputs import ImageSpec
    from pixelcnn_jax.pretrained import save_pretrained

    model = GatedPixelCNN(levels=3, features=8, layers=1)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1), jnp.int32), jnp.zeros((1, 2)))
    folder = tmp_path_factory.mktemp("class")
    save_pretrained(folder, model, variables, {"image_spec": ImageSpec(4, 4, 1, 3, None, None, ("red", "1"))})
    return folder


@pytest.fixture(scope="session")
def views_model(tmp_path_factory):
    """A model of p(x) with a constant condition, of 6x5 images with three channels of 4 levels."""
    from pixelcnn_jax import GatedPixelCNN
    from pixelcnn_jax.models.conditioning.conditional import ConditionalModel, ConstantCondition
    from pixelcnn_jax.models.inputs import ImageSpec
    from pixelcnn_jax.pretrained import save_pretrained

    model = ConditionalModel(GatedPixelCNN(levels=4, channels=3, features=12, layers=1), ConstantCondition(7, 2))
    variables = model.init(jax.random.key(0), jnp.zeros((1, 6, 5, 3), jnp.int32))
    folder = tmp_path_factory.mktemp("views")
    save_pretrained(folder, model, variables, {"image_spec": ImageSpec(6, 5, 3, 4), "score_of": "p(x)"})
    return folder


@pytest.fixture(scope="session")
def integer_form(tmp_path_factory):
    """Returns the folder of the integer model of a model in a folder."""
    import numpy as np

    from pixelcnn_jax import load_pretrained, quantise
    from pixelcnn_jax.pretrained import save_pretrained

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


@pytest.fixture(scope="session")
def few_shot_model(tmp_path_factory):
    """A model of 8x6 grey images with 4 levels, given up to two examples."""
    from pixelcnn_jax import GatedPixelCNN
    from pixelcnn_jax.models.conditioning.conditional import ConditionalModel
    from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder
    from pixelcnn_jax.models.inputs import ImageSpec
    from pixelcnn_jax.pretrained import save_pretrained

    model = ConditionalModel(GatedPixelCNN(levels=4, features=8, layers=1), SetEncoder((8, 6, 3), 4, 2, (4, 6), 2))
    image = jnp.zeros((1, 8, 6, 1), jnp.int32)
    folder = tmp_path_factory.mktemp("few_shot")
    card = {"image_spec": ImageSpec(8, 6, 1, 4), "experiment": "few_shot", "score_of": "p(x|examples)"}
    card["config"] = {"few_shot": {}}
    save_pretrained(folder, model, model.init(jax.random.key(0), image, image[None]), card)
    return folder


@pytest.fixture
def folder(tmp_path):
    """Images of two sizes, in folders, as a model of 4 levels could have drawn them."""
    import numpy as np
    from PIL import Image

    from pixelcnn_jax.data.image_files import as_pixels

    generator = np.random.default_rng(1)
    for name, size in (("one.png", (6, 5)), ("in/two.png", (6, 5)), ("in/deep/three.bmp", (2, 7))):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(as_pixels(generator.integers(0, 4, (*size, 3)), levels=4)).save(file)
    return tmp_path / "images"
