"""A user's file with strict types: it calls every public function. tests/test_typing.py runs mypy on it."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pixelcnn_jax as pj
from pixelcnn_jax.noise import Poisson


def use_a_published_model(key: jax.Array) -> jax.Array:
    model, variables, card = pj.load_pretrained(pj.pretrained_names()[0])
    images = pj.sample(model, variables, key, shape=(2, 28, 28), temperature=0.9)
    print(card["image_spec"], pj.bits_per_dim(model, variables, images))
    pj.check_causal(model, variables, shape=(2, 8, 8))
    print(pj.nll(model, variables, images).mean())
    again, log_probs = pj.sample_and_log_prob(model, variables, key, shape=(2, 28, 28), temperature=0.9)
    print((again == images).all(), log_probs.mean())
    integer, integers = pj.quantise(model, variables, images)
    data: bytes = pj.compress(integer, integers, images)
    returned = pj.decompress(integer, integers, data)
    assert np.array_equal(returned, images)
    return images


@pj.register
class Registered(pj.GatedPixelCNN):
    """A network that cards may name."""


def train_one_step(images: jax.Array, h: jax.Array) -> Any:
    model = pj.GatedPixelCNN(levels=4, features=8, layers=1)
    variables = model.init(jax.random.key(0), images, h)
    return jax.grad(lambda v: -pj.log_prob(model, v, images, h=h).mean())(variables)


def fit_an_array(images: np.ndarray) -> tuple[float, float]:
    model, variables, history = pj.fit(None, images, validation=0.2, steps=100, workdir=Path("mine"))
    print(history[-1]["step"], pj.fit(model, images, variables=variables).history)
    print(pj.information(model, variables, images, noise=Poisson()).bits)
    return pj.evaluate(model, variables, images, batch_size=8).interval


def compare(key: jax.Array) -> None:
    images = jnp.zeros((1, 4, 4, 1), jnp.int32)
    for model in (pj.PixelCNN(levels=4), pj.RowLSTM(levels=4), pj.DiagonalBiLSTM(levels=4)):
        variables = model.init(key, images)
        drawn = pj.naive_sample(model, variables, key, shape=(1, 4, 4), guidance=0.0)
        print(pj.log_prob(model, variables, drawn), pj.bits_per_dim(model, variables, np.asarray(drawn)))


def load_or_none(path: Path) -> Any:
    try:
        model, variables, _ = pj.load_pretrained(path)
        pj.save_pretrained(path.with_name("copy"), model, variables, image_shape=(28, 28))
        return model
    except pj.InputError as error:
        print(error)
        return None
