"""Tokenizers and priors of their codes: what a code stands for, two levels, completion, and runs that need others."""

import os
import re
import shlex
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_run
from tiny_runs import finished

from experiments.extensions.tokenizer import perplexity
from pixelcnn_jax import InputError, load_pretrained, nll
from pixelcnn_jax.code_model import CodeModel, apply_jitted, touched
from pixelcnn_jax.data.image_files import read_image
from pixelcnn_jax.data.pictures import save_grid
from pixelcnn_jax.models.tokenizer import Tokenizer
from pixelcnn_jax.training.checkpoint import Checkpoints

ROOT = Path(__file__).parents[2]
SHORT = [f"--config.train.{x}" for x in ("steps=20", "eval_every=10", "score_train_images=32", "report_images=32")]


@pytest.fixture(scope="module")
def tokenizer():
    model = Tokenizer(levels=9, channels=2, factor=4, digits=2, values=4, features=8, blocks=2)
    images = jax.random.randint(jax.random.key(0), (3, 24, 32, 2), 0, 9)
    return partial(model.apply, model.init(jax.random.key(1), images)), images


@pytest.fixture(scope="module")
def two_levels(workdirs, tmp_path_factory):
    """A run of two levels of codes, whose coarse tokenizer has a factor of 4, its model, digits and their classes."""
    root = tmp_path_factory.mktemp("two")
    tiny_run("tokenizer", root / "coarse", {"settings.factor": 4})
    changes = {"settings.tokenizer": str(workdirs("tokenizer")), "settings.coarse_tokenizer": str(root / "coarse")}
    result = tiny_run("codes", root / "codes", changes)
    images = jax.random.randint(jax.random.key(0), (4, 8, 8, 1), 0, 17)
    return root / "codes", CodeModel(*load_pretrained(root / "codes")[:2]), result, images, jnp.eye(10)[:4]


def test_a_code_is_its_digits_and_stands_for_a_square(tokenizer):
    apply, images = tokenizer
    codes = apply(images, method="encode")
    assert codes.shape == (3, 6, 8, 2)
    assert set(np.unique(codes)) == set(range(4))
    expected = (jnp.clip(apply(images), -1, 1) + 1) * 4  # a call decodes the same codes
    np.testing.assert_array_equal(apply(codes, method="decode"), jnp.round(expected))


def test_a_coarse_tokenizer_has_no_smaller_squares(two_levels, workdirs, tmp_path):
    coarse = str(two_levels[0].parent / "coarse")
    exchanged = {"settings.tokenizer": coarse, "settings.coarse_tokenizer": str(workdirs("tokenizer"))}
    with pytest.raises(InputError, match="a smaller factor than the other: exchange"):
        tiny_run("codes", tmp_path, exchanged)


def test_a_gradient_passes_the_rounding(tokenizer):
    apply, images = tokenizer
    variables = apply.args[0]
    # The last layer of a block begins at zero, which would hide the others.
    variables = jax.tree.map(lambda x: x + 0.1, variables)
    gradient = jax.grad(lambda v: jnp.sum(apply.func(v, images) ** 2))(variables)
    assert all(jnp.abs(x).max() > 0 for x in jax.tree.leaves(gradient))


def test_codes_that_touch_no_hidden_pixel_do_not_depend_on_one(tokenizer):
    apply, images = tokenizer
    variables = jax.tree.map(lambda x: x + 0.1, apply.args[0])
    hidden = np.zeros((1, 24, 32, 1), bool)
    hidden[:, 12:14, 15:17] = True  # in one row of squares and two columns
    is_drawn = np.asarray(touched(hidden, 4))[0, :, :, 0]
    assert is_drawn.sum() == 3 * 4
    codes = [apply.func(variables, jnp.where(hidden, x, images), method="encode") for x in (0, 8)]
    changed = np.any(codes[0] != codes[1], axis=(0, 3))
    assert changed.any()
    assert not (changed & ~is_drawn).any()


def test_perplexity_is_the_number_of_equally_frequent_codes():
    assert perplexity(np.stack([np.arange(48) % 16, np.arange(48) % 4], axis=-1)) == pytest.approx(16)
    assert perplexity(np.array([[0], [0], [0], [1]])) == pytest.approx(np.exp(0.5623351))


def test_the_coarse_codes_are_the_map_of_the_fine_prior(two_levels):
    _, model, _, images, h = two_levels
    codes = model.encode(images)
    assert {name: x.shape[1:] for name, x in codes.items()} == {"prior": (4, 4, 2), "coarse_prior": (2, 2, 2)}
    given = model.condition("prior", codes, h)
    s = np.asarray(given["s"]).reshape(4, 2, 2, 2, 2, 8)
    assert (s == s[:, :, :1, :, :1]).all()  # one for each square of a coarse code
    assert (s.sum(axis=-1) == 2).all()  # digits
    fine = nll(model.networks["prior"], model.variables["prior"], codes["prior"], **given)
    coarse = nll(model.networks["coarse_prior"], model.variables["coarse_prior"], codes["coarse_prior"], h=h)
    np.testing.assert_allclose(model.bits(images, h=h), (fine + coarse) / np.log(2), rtol=1e-5)


def test_a_completion_keeps_what_is_observed(two_levels):
    _, model, _, observed, h = two_levels
    mask = np.broadcast_to(np.arange(8)[:, None, None] < 6, (1, 8, 8, 1))
    images, programs = [], []
    for i in range(2):
        images.append(model.sample(jax.random.key(i), shape=(4, 8, 8), h=h, observed=observed, mask=mask))
        programs.append(apply_jitted._cache_size())
    assert programs[0] == programs[1] > 0  # the second time nothing is compiled
    np.testing.assert_array_equal(images[0][:, :6], observed[:, :6])
    assert (images[0] != images[1]).any()
    assert model.sample(jax.random.key(0), shape=(4, 5, 8), h=h).shape[1:3] == (5, 8)
    with pytest.raises(InputError, match="must hold integers 0 to"):
        model.bits(observed + 17, h=h)


def test_the_commands_know_that_bits_of_codes_are_no_likelihood(pixelcnn, two_levels, tmp_path):
    workdir, _, result, *_ = two_levels
    assert f"{result['scores']['test']['bits_of_codes']:.2f} bits of codes" in pixelcnn("evaluate", workdir)
    refused = ["score", workdir, tmp_path], ["compress", workdir, tmp_path, "-o", tmp_path / "x"]
    for line in (*refused, ["evaluate", workdir, "--mean-over=mirrored"]):
        assert "not a likelihood of pixels, so" in pixelcnn(*line, mistake=True)
    assert "100 samples" in pixelcnn("sample", workdir, "-o", tmp_path / "grid.png")
    save_grid(tmp_path / "digit.png", np.eye(8, dtype=int).reshape(1, 1, 8, 8, 1), levels=2)
    line = ["sample", workdir, "--complete", tmp_path / "digit.png", "--label", 3, "-o", tmp_path / "some.png"]
    assert "8 approximate completions" in pixelcnn(*line)
    assert (tmp_path / "some.png").exists()


def test_a_killed_run_resumes_to_the_same_bits_unless_its_tokenizer_is_another(workdirs, tmp_path, monkeypatch):
    tokenizer, kept, run, save = tmp_path / "tokenizer", tmp_path / "kept", tmp_path / "codes", Checkpoints.save
    changes = {"settings.tokenizer": str(tokenizer), "train.checkpoint_every": 1}
    tiny_run("tokenizer", tokenizer)
    monkeypatch.setattr(Checkpoints, "save", lambda *arguments: sys.exit(save(*arguments)))
    with pytest.raises(SystemExit):
        tiny_run("codes", run, changes)
    monkeypatch.undo()
    tokenizer.rename(kept)
    with pytest.raises(InputError, match=f"no model, folder or file {tokenizer}"):
        tiny_run("codes", run, changes)
    tiny_run("tokenizer", tokenizer, {"train.steps": 3})
    with pytest.raises(InputError, match="tokenizer was trained again since this run began"):
        tiny_run("codes", run, changes)
    tokenizer.rename(tmp_path / "again")
    kept.rename(tokenizer)
    tiny_run("codes", run, changes)
    assert (run / "model.safetensors").read_bytes() == (workdirs("codes") / "model.safetensors").read_bytes()


def test_codes_of_ones_own(tmp_path, monkeypatch):
    """A decoder that paints code k as the colour k; of 8-bit colours, though there are four codes."""
    decode = lambda codes: np.kron(codes * 60, np.ones((1, 2, 3, 3), int))  # noqa: E731
    monkeypatch.setitem(sys.modules, "my_codes", SimpleNamespace(decode=decode))
    codes = {f"{name}_image": np.arange(64 * 12).reshape(64, 3, 4) % 4 for name in ("train", "validation", "test")}
    np.savez(tmp_path / "codes.npz", **codes)
    own = {"settings.decoder": "my_codes:decode", "settings.show_nearest": True, "data.levels": 4}
    data = {"data.dataset": "array", "data.data_dir": str(tmp_path / "codes.npz"), "data.labels": False}
    result = tiny_run("codes", tmp_path / "run", own | data)
    assert result["scores"]["test"]["bits_of_codes"] < 40  # 24 by chance
    assert {60, 120, 180} <= {*np.unique(read_image(tmp_path / "run" / "samples.png", channels=3))}


@pytest.mark.long
def test_the_commands_of_the_page_work_at_the_first_try(tmp_path):
    """On 2,000 pictures of 64x64, with short trainings: quilts of four colours."""
    page = (ROOT / "docs" / "codes.md").read_text()
    (tmp_path / "photos").mkdir()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "my_codes.py").write_text(block)
    for index, colours in enumerate(np.random.default_rng(0).integers(0, 256, (2000, 2, 2, 3), np.uint8)):
        save_grid(tmp_path / "photos" / f"{index}.png", colours.repeat(32, 0).repeat(32, 1)[None, None], levels=256)
    (tmp_path / "photo.png").symlink_to(tmp_path / "photos" / "0.png")
    programs = {"python": [sys.executable], "pixelcnn": [sys.executable, "-m", "pixelcnn_jax.cli"]}
    text = "".join(re.findall(r"^```sh\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    lines = [*map(shlex.split, text.splitlines())]
    lines.insert(1, [word for word in lines[0] if "workdir" not in word] + ["--dry_run"])
    for program, *words in lines:
        more = SHORT if "experiments.train" in words else []
        line, paths = [*programs[program], *words, *more], {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
        assert ("training minutes" in finished(line, cwd=tmp_path, env=os.environ | paths)) == ("--dry_run" in words)
    assert (tmp_path / "grid.png").exists() & (tmp_path / "completed.png").exists()
