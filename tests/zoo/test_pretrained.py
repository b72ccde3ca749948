"""Models on disk: what was saved is loaded, published ones compute what they did, nothing damaged is used."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import Table, Uniform
from tiny_runs import flip_a_bit

from pixelcnn_jax import GatedPixelCNN, InputError, load_pretrained, log_prob, pretrained_names, register
from pixelcnn_jax.foundation.files import write_json
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, ConstantCondition
from pixelcnn_jax.models.conditioning.encoders import Deconvolution, Encoder, Upsampling
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.zoo import pretrained, registry
from pixelcnn_jax.zoo.pretrained import name_of, read_card, read_weights, save_pretrained
from pixelcnn_jax.zoo.registry import describe

NATS_OF_A_PATTERN = {
    "binarized_mnist": 61.5902,
    "binarized_mnist_convolutional": 66.5966,
    "binarized_mnist_integer": 65.2129,
    "captions": 2511.2563,
    "cifar10": 1271.3457,
    "cifar10_classes": 1297.4208,
    "cifar10_integer": 721.9257,
    "digits": 818.7372,
    "digits_integer": 743.1775,
    "mnist": 1025.2078,
    "mnist_classes": 57.1310,
    "mnist_classes_integer": 53.1498,
    "omniglot_few_shot": 400.0806,
}
SPEC = ImageSpec(4, 4, 1, 3)
NETWORK = GatedPixelCNN(levels=3, features=4, layers=1)
IMAGE = jnp.zeros((1, 4, 4, 1), jnp.int32)
MODELS = {
    "network": (NETWORK, lambda key: NETWORK.init(key, IMAGE)),
    "network with h": (NETWORK, lambda key: NETWORK.init(key, IMAGE, jnp.zeros((1, 5)))),
    "conditional": (
        conditional := ConditionalModel(NETWORK, Deconvolution((4, 4, 2), features=(3,))),
        lambda key: conditional.init(key, IMAGE, jnp.zeros((1, 5))),
    ),
    "map of h": (
        upsampled := ConditionalModel(NETWORK, Upsampling(2, 3)),
        lambda key: upsampled.init(key, IMAGE, IMAGE[:, ::2, ::2]),
    ),
    "several": (
        {"decoder": conditional, "encoder": (encoder := Encoder(outputs=5, levels=3, features=(4,)))},
        lambda key: {"decoder": conditional.init(key, IMAGE, jnp.zeros((1, 5))), "encoder": encoder.init(key, IMAGE)},
    ),
}


def variables_of(name, seed=0):
    return jax.tree.map(np.asfortranarray, MODELS[name][1](jax.random.key(seed)))  # whatever the order of their memory


def save(path, name="network", seed=0, **changes):
    save_pretrained(path, MODELS[name][0], variables_of(name, seed), {"image_spec": SPEC, "step": seed} | changes)


def test_float64_stays_float64(tmp_path):
    with jax.enable_x64(True):
        model = NETWORK.clone(dtype="float64")
        variables = jax.tree.map(lambda x: x + np.pi, model.init(jax.random.key(0), IMAGE))
        save_pretrained(tmp_path, model, variables, {"image_spec": SPEC})
        loaded = load_pretrained(tmp_path)
        jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
        assert {x.dtype.name for x in jax.tree.leaves(loaded.variables)} == {loaded.card["dtype"]} == {"float64"}
    with pytest.raises(InputError, match="JAX_ENABLE_X64=1"):
        load_pretrained(tmp_path, model=NETWORK)


@pytest.mark.parametrize("name", ["network with h", "conditional", "own"])
def test_h_is_a_label_only_if_that_is_said(name, tmp_path):
    model, init = MODELS.get(name, (Table(), lambda key: {}))
    for classes, density in ((None, "p(x|h)"), (5, "p(x|y)")):
        for image in ({"image_shape": (4, 4)}, {"card": {"image_spec": replace(SPEC, classes=None)}}):
            save_pretrained(tmp_path, model, init(jax.random.key(0)), **image, classes=classes)
            card = read_card(tmp_path)
            assert (card["density"], card["image_spec"].classes) == (density, classes)
    save_pretrained(tmp_path, model, init(jax.random.key(0)), {"image_spec": replace(SPEC, classes=7)})
    assert read_card(tmp_path)["density"] == "p(x|h)"  # a data set of seven classes


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("place", ["run", "copies/mine.safetensors"])
def test_a_saved_model_is_loaded(name, place, tmp_path):
    (tmp_path / "run").mkdir()
    save(tmp_path / place, name, dtype="ignored")
    model, variables, card = load_pretrained(tmp_path / place.replace("safetensors", "json"))
    assert describe(model) == describe(MODELS[name][0])
    jax.tree.map(np.testing.assert_array_equal, variables, variables_of(name))
    assert card["image_spec"] == SPEC
    assert card["density"] == ("p(x)" if name in ("network", "several") else "p(x|h)")
    assert card["parameters"] == sum(x.size for x in jax.tree.leaves(variables))
    assert read_card(str(tmp_path / place)) == card


def test_a_path_may_be_of_a_users_home_or_a_published_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save("~/mine")
    assert read_card("~/mine") == read_card(tmp_path / "mine")
    assert [name_of(Path(name)) for name in ("digits", "mine")] == ["./digits", "mine"]


class KilledError(BaseException):
    """A kill at a moment of the test's choosing."""


@pytest.mark.parametrize("writes", [0, 1, 2])
@pytest.mark.parametrize("older", [False, True])
def test_a_kill_while_saving_leaves_the_older_or_the_newer_model(writes, older, tmp_path, monkeypatch):
    """A kill after this number of writes, before the weights get their name."""
    if older:
        save(tmp_path, seed=1)
    left = iter(range(writes))

    def write_or_die(write, path, content):
        if next(left, None) is None:
            raise KilledError
        write(path, content)
        if writes == 2 and path.suffix == ".json":
            raise KilledError

    with monkeypatch.context() as patch:
        for name in ("atomic_write", "write_json"):
            patch.setattr(pretrained, name, partial(write_or_die, getattr(pretrained, name)))
        with pytest.raises(KilledError):
            save(tmp_path, seed=2)
    if older or writes == 2:
        model = load_pretrained(tmp_path)
        assert model.card["step"] == (2 if writes == 2 else 1)
        jax.tree.map(np.testing.assert_array_equal, model.variables, variables_of("network", model.card["step"]))
    else:
        with pytest.raises(InputError, match=r"model\.json"):
            load_pretrained(tmp_path)
    save(tmp_path, seed=3)
    assert load_pretrained(tmp_path).card["step"] == 3
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "model.json"}


def test_a_card_can_be_used_for_another_model(tmp_path):
    save(tmp_path, "network with h")
    save_pretrained(tmp_path, NETWORK, variables_of("network"), load_pretrained(tmp_path).card | {"networks": "other"})
    jax.tree.map(np.testing.assert_array_equal, load_pretrained(tmp_path).variables, variables_of("network"))


def test_models_in_one_folder_keep_their_files(tmp_path):
    for name in ("a", "a.b", "a.0123456789abc"):
        save(tmp_path / f"{name}.safetensors")
    content = b"of a.b, whose writer was killed"
    killed = tmp_path / f"a.b.{hashlib.sha256(content).hexdigest()[:12]}.safetensors"
    mine = tmp_path / "a.b.0123456789ab.safetensors"  # not the digest of its content
    killed.write_bytes(content)
    mine.write_bytes(content)
    save(tmp_path / "a.safetensors", seed=4)
    assert killed.exists()
    save(tmp_path / "a.b.safetensors")
    assert not killed.exists()
    assert mine.exists()
    assert [load_pretrained(tmp_path / f"{name}.safetensors").card["step"] for name in ("a", "a.b")] == [4, 0]


def spoil_card(**changes):
    def spoil(folder):
        write_json(folder / "model.json", json.loads((folder / "model.json").read_text()) | changes)

    return spoil


def edit_score(folder):
    (folder / "model.json").write_text((folder / "model.json").read_text().replace('"step": 0', '"step": 1'))


def spoil_values(folder):
    variables = jax.tree.map(lambda x: jnp.asarray(x).at[(0,) * x.ndim].set(jnp.nan), variables_of("network"))
    save_pretrained(folder, NETWORK, variables, {"image_spec": SPEC})


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda folder: flip_a_bit(folder / "model.safetensors"), "SHA-256"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "SHA-256"),
        (lambda folder: (folder / "model.safetensors").unlink(), "SHA-256"),
        (spoil_values, "NaN"),
        (edit_score, "checksum"),
        (lambda folder: (folder / "model.json").unlink(), r"model\.json"),
        (lambda folder: (folder / "model.json").write_text("{"), r"model\.json"),
        (lambda folder: (folder / "model.json").write_text("[" * 100_000), r"model\.json"),
        (spoil_card(format=2), "format 1"),
        (spoil_card(sha256="../" * 20), r"model\.json"),
        (spoil_card(image_spec=[8, 8]), "image_spec must"),
        (spoil_card(image_spec={"height": 8.5, "width": 8, "channels": 1, "levels": 3}), "height must"),
        (spoil_card(image_spec={"height": 2**20, "width": 2**20, "channels": 1, "levels": 3}), "sub-pixels"),
        (spoil_card(config={"data": 5}), "config.data"),
        (spoil_card(density=None), "density must"),
        (spoil_card(networks={"class": "Transformer"}), r"Transformer.*register.*model="),
        (spoil_card(networks={"class": "GatedPixelCNN", "levels": 3, "code_features": 10**15}), "cannot be loaded"),
        (spoil_card(networks={"decoder": {"class": "GatedPixelCNN", "levels": 3}}), "cannot be loaded"),
        (spoil_card(networks={"class": "GatedPixelCNN", "levels": 3, "wings": 2}), "cannot be loaded"),
        (spoil_card(networks={"class": "GatedPixelCNN", "levels": 3, "features": 5, "layers": 1}), "variables"),
        (spoil_card(networks={"class": "GatedPixelCNN", "features": 10**12, "layers": 1}), "cannot be loaded"),
    ],
)
def test_what_is_damaged_is_refused(spoil, named, tmp_path):
    save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError, match=named):
        load_pretrained(tmp_path)


def test_weights_are_read_without_their_class(tmp_path):
    save(tmp_path)
    spoil_card(networks={"class": "Transformer"})(tmp_path)
    variables, card = read_weights(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, variables, variables_of("network"))
    assert card["image_spec"] == SPEC


class Own(nn.Module):
    """A network from images alone to logits, of which the package knows nothing."""

    levels: int
    channels: int = 1
    features: int = 5
    activation: Callable = nn.relu
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images):
        x = self.activation(nn.Conv(self.features, (1, 1), param_dtype=self.param_dtype)(images / self.levels))
        return nn.Dense(self.channels * self.levels)(0 * x).reshape(*images.shape, self.levels)


def test_a_network_of_ones_own_is_passed_or_registered(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "REGISTERED", {})
    monkeypatch.setitem(registry.NETWORKS, "Own", "")
    custom = Own(3)
    variables = custom.init(jax.random.key(0), IMAGE)
    save_pretrained(tmp_path, custom, variables, {"image_spec": SPEC})
    loaded = load_pretrained(tmp_path, model=custom)
    assert loaded.model is custom
    np.testing.assert_array_equal(log_prob(custom, loaded.variables, IMAGE), log_prob(custom, variables, IMAGE))
    with pytest.raises(InputError, match="cannot be loaded"):
        load_pretrained(tmp_path, model=GatedPixelCNN(levels=3, features=4, layers=1))
    with pytest.raises(InputError, match="must have no dot"):
        save_pretrained(tmp_path, custom, {"params": {"layers.0": np.zeros(3)}}, {"image_spec": SPEC})
    small = jax.tree.map(lambda x: x.astype("bfloat16"), variables)
    save_pretrained(tmp_path, custom, small, {"image_spec": SPEC})
    jax.tree.map(np.testing.assert_array_equal, load_pretrained(tmp_path, model=custom).variables, small)
    with pytest.raises(InputError, match=r"class Own .*register.*model="):
        load_pretrained(tmp_path)
    register(Own)
    assert load_pretrained(tmp_path).model == custom.clone(param_dtype="float32")
    save_pretrained(tmp_path, Own(3, activation=jnp.tanh), variables, {"image_spec": SPEC})
    with pytest.raises(InputError, match=r"class tanh .*model="):  # a card can only name a function
        load_pretrained(tmp_path)
    with pytest.raises(InputError, match="GatedPixelCNN"):
        register(type("GatedPixelCNN", (GatedPixelCNN,), {}))


def test_a_network_without_parameters_is_saved_and_loaded(tmp_path):
    model = Uniform(levels=3)
    save_pretrained(tmp_path, model, model.init(jax.random.key(0), IMAGE), image_shape=IMAGE.shape[1:3])
    _, variables, card = load_pretrained(tmp_path, model=model)
    assert (variables, card["parameters"], card["image_spec"]) == ({}, 0, SPEC)
    assert np.isfinite(log_prob(model, variables, IMAGE)).all()


def test_a_constant_condition_is_as_long_as_its_kernels(tmp_path):
    for condition in (ConstantCondition(10_000_000), ConstantCondition(5, 5)):
        variables = {"params": {"network": variables_of("network with h")["params"]}}
        save_pretrained(tmp_path, ConditionalModel(NETWORK, condition), variables, {"image_spec": SPEC})
        with pytest.raises(InputError, match="size must be 5, as h has"):
            load_pretrained(tmp_path)


def test_a_published_name_is_the_published_model_and_a_path_is_a_path(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    save(tmp_path / "digits", seed=6)
    assert load_pretrained("digits").card["image_spec"].levels == 17
    assert capsys.readouterr().err == "Loading the published model digits: for your own, write ./digits.\n"
    for mine in ("./digits", Path("digits")):
        assert load_pretrained(mine).card["step"] == 6
    assert capsys.readouterr().err == ""


def test_height_and_width_make_a_card(tmp_path):
    refused = [({}, None, "image_spec"), ({"note": math.nan}, (4, 5), "card cannot be stored as JSON")]
    for card, size, named in [*refused, ({"config": {"steps": 5}}, (4, 5), "config.steps of")]:
        with pytest.raises(InputError, match=named):
            save_pretrained(tmp_path, NETWORK, variables_of("network"), card, image_shape=size)
    assert not [*tmp_path.iterdir()]
    save_pretrained(tmp_path / "a" / "new", NETWORK, variables_of("network"), {"image_spec": SPEC}, image_shape=(4, 5))
    card = load_pretrained(tmp_path / "a" / "new").card
    assert card["image_spec"] == ImageSpec(4, 5, NETWORK.channels, NETWORK.levels)
    spoil_card(config=None)(tmp_path / "a" / "new")
    assert load_pretrained(tmp_path / "a" / "new").card["config"] == {}


@pytest.mark.parametrize("name", ["nothing", "nothing.safetensors", "no/such/folder", "~nobody-here/run"])
def test_a_model_that_is_not_there_is_refused(name):
    with pytest.raises(InputError, match=f"no model, folder or file {name}.*pixelcnn models"):
        load_pretrained(name)
    with pytest.raises((InputError, OSError), match="xxx"):
        load_pretrained("x" * 5000)  # too long for a path


def nats_of_a_pattern(name):
    model, variables, card = load_pretrained(name)
    kind, spec = card["density"], card["image_spec"]
    has_map = kind in ("p(x|examples)", "p(x|caption)")  # a map has the size of the images
    shape = (1, *spec.shape) if has_map else (1, 12, 12, model.channels)
    pattern = (np.arange(math.prod(shape)) * 7 // 3 % model.levels).reshape(shape)
    given = {
        "p(x|y)": lambda: jnp.eye(spec.classes)[:1],
        "p(x|examples)": lambda: np.stack([pattern, np.roll(pattern, 1, axis=1)], axis=1),
        "p(x|caption)": lambda: model.conditioner.tokens([" ".join(spec.words)]),
    }
    h = given[kind]() if kind in given else None
    return float(-log_prob(model, variables, pattern, h=h)[0])


@pytest.mark.parametrize("name", pretrained_names())
def test_published_models_compute_what_they_did(name):
    """Without their data: whatever reorders what a kernel's numbers mean would make noise of them."""
    np.testing.assert_allclose(nats_of_a_pattern(name), NATS_OF_A_PATTERN[name], rtol=1e-4)
