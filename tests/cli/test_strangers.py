"""A model folder from a stranger: whatever its card says, a verb prints a sentence, and opens and imports nothing."""

import json
import sys
from dataclasses import asdict, replace

import jax
import numpy as np
import pytest

from pixelcnn_jax import GatedPixelCNN
from pixelcnn_jax.cli.options import at_most
from pixelcnn_jax.foundation.files import write_json
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.zoo.pretrained import save_pretrained
from pixelcnn_jax.zoo.registry import describe

NETWORK = GatedPixelCNN(levels=4, features=8, layers=1)
DATA = {"dataset": "digits", "levels": 4, "data_dir": None, "download": False}
SPEC = ImageSpec(8, 6, 1, 4)
LABEL = np.zeros((1, 5), np.float32)


def few_shot(*shape):
    return ConditionalModel(NETWORK, SetEncoder((*shape, 3), 4, 2, (4, 6), 2))


LARGE = {
    "model": few_shot(8, 6),
    "h": np.zeros((1, 1, 8, 6, 1), int),
    "networks": few_shot(1024, 1024),
    "spec": ImageSpec(1024, 1024, 1, 4),
    "density": "p(x|examples)",
}


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A folder as TFDS prepares one, whose features need a module that lies there; nothing may prepare a second one."""
    import tensorflow_datasets as tfds

    folder = tmp_path / "data/strange/1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps({"name": "strange", "version": "1.0.0"}))
    (folder / "features.json").write_text('{"pythonClassName": "strange_module.Image"}')
    (tmp_path / "strange_module.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tfds, "builder", None)
    monkeypatch.setattr(tfds, "builder_from_directory", None)
    return tmp_path / "data"


def stranger(folder, model=NETWORK, h=None, networks=None, density="p(x)", spec=SPEC, **data):
    """A model with the arrays of one network, and a card that describes others, and has this config of the data."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 8, 6, 1), int), h)
    variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    sizes = dict.fromkeys(("batch_size", "eval_batch_size", "microbatch_size"), 10**12)
    config = {"data": DATA | data, "train": sizes}
    save_pretrained(folder, model, variables, {"image_spec": SPEC, "density": density, "config": config})
    card = json.loads((folder / "model.json").read_text()) | {"image_spec": asdict(spec)}
    write_json(folder / "model.json", card | ({"networks": describe(networks)} if networks else {}))
    return folder


@pytest.mark.parametrize(
    ("card", "named"),
    [
        ({"dataset": "{data}/strange"}, "not a path"),
        ({"dataset": "../data/strange"}, "not a path"),
        ({"dataset": "strange", "data_dir": "{data}"}, '"strange" is unknown'),
        ({"dataset": "folder", "data_dir": "{data}"}, "with --data-dir"),
        ({"dataset": "mnist", "download": True}, "mnist is not prepared"),
        ({"density": "p(x|y)", "h": LABEL, "spec": replace(SPEC, classes=2**16)}, r"not a model of p\(x\|y\)"),
        ({"density": "p(x|caption)"}, r"not a model of p\(x\|caption\)"),
        ({"density": "p(x|examples)"}, r"not a model of p\(x\|examples\)"),
        ({"density": "p(x|y)", "h": LABEL}, r"not a model of p\(x\|y\)"),
        ({"density": "p(x|smell)"}, "must be a model of"),
        (LARGE, r"not a model of p\(x\|examples\)"),
        ({"spec": replace(SPEC, channels=3)}, "1 channels of 4 levels"),
        ({"spec": replace(SPEC, levels=5)}, "1 channels of 4 levels"),
        ({"spec": ImageSpec(1, 2**23, 1, 4)}, "at most 4,194,304 sub-pixels"),
        ({"spec": replace(SPEC, words=("x" * 2**24,))}, "is not a model card: it has 16,7"),
        ({"resize": 10**6}, "resize"),
        ({"max_examples": 10**9}, "max_examples"),
    ],
)
def test_a_card_says_what_it_is_and_decides_nothing_else(pixelcnn, prepared, tmp_path, monkeypatch, card, named):
    import re

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    written = {name: x.format(data=prepared) if isinstance(x, str) else x for name, x in card.items()}
    (tmp_path / "model").mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    sentence = pixelcnn("evaluate", stranger(tmp_path / "model", **written), mistake=True)
    assert re.search(named.format(data=prepared), sentence)
    assert "strange_module" not in sys.modules
    assert {path.name for path in tmp_path.iterdir()} == before


def test_samples_are_as_many_as_a_computer_can_hold(pixelcnn, tmp_path):
    stranger(tmp_path / "model", spec=ImageSpec(1, 2**20, 1, 4))
    told = pixelcnn("sample", tmp_path / "model", "-o", tmp_path / "x.png", "--count=5", mistake=True)
    assert "--count must give at most 4" in told
    assert at_most(2**20, ImageSpec(1, 1, 1, 2, 2**16)) == 64  # one-hot h


def test_a_data_set_from_a_stranger_imports_nothing(pixelcnn, prepared, tmp_path):
    stranger(tmp_path, dataset="strange")
    assert "strange_module.Image" in pixelcnn("evaluate", tmp_path, "--data-dir", prepared, mistake=True)
    assert "strange_module" not in sys.modules


def test_a_batch_is_as_large_as_a_computer_can_hold(pixelcnn, tmp_path):
    model = GatedPixelCNN(levels=17, features=4, layers=1)  # zero weights give each level the same probability
    stranger(tmp_path, model, spec=ImageSpec(8, 8, 1, 17), levels=17)
    assert f"{np.log2(17):.4f} bits/dim" in pixelcnn("evaluate", tmp_path, "--split", "validation")
