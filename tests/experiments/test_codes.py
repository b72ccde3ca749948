"""Tokenizers and priors of their codes: what a code stands for, two levels, completion, and runs that need others."""

import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from tiny import tiny_config, tiny_run, tiny_splits

from experiments import recipe_of
from experiments.extensions.tokenizer import perplexity
from pixelcnn_jax import InputError, load_pretrained
from pixelcnn_jax.cli.command import main
from pixelcnn_jax.codes import CodeModel, touched
from pixelcnn_jax.data.image_files import save_grid
from pixelcnn_jax.models.tokenizer import Tokenizer
from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.run import train

ROOT = Path(__file__).parents[2]
SHORT = {"steps": 20, "eval_every": 10, "score_train_images": 32, "report_images": 32}


@pytest.fixture(scope="module")
def tokenizer():
    model = Tokenizer(levels=9, channels=2, factor=4, digits=(3, 4), features=8, blocks=2)
    images = jax.random.randint(jax.random.key(0), (3, 24, 32, 2), 0, 9)
    return partial(model.apply, model.init(jax.random.key(1), images)), images


@pytest.fixture(scope="module")
def two_levels(workdirs, tmp_path_factory):
    """Runs of two levels of codes, whose coarse tokenizer has a factor of 4, and their model."""
    root = tmp_path_factory.mktemp("two")
    tiny_run("tokenizer", root / "coarse", {"settings.factor": 4})
    changes = {"settings.tokenizer": str(workdirs("tokenizer")), "settings.coarse_tokenizer": str(root / "coarse")}
    result = tiny_run("codes", root / "codes", changes)
    return root / "codes", CodeModel(*load_pretrained(root / "codes")[:2]), result


def pixelcnn(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    return result.output


def test_a_code_is_its_digits_and_stands_for_a_square(tokenizer):
    apply, images = tokenizer
    codes = apply(images, method="encode")
    assert codes.shape == (3, 6, 8, 1)
    assert len(np.unique(codes)) > 4
    assert (codes.min() >= 0) & (codes.max() < 12)
    every = jnp.arange(12).reshape(1, 3, 4, 1)
    digits = apply(every, method="digits_of")
    np.testing.assert_array_equal(digits @ np.array([1, 3]), every[..., 0])
    assert (digits.max(axis=(0, 1, 2)) == np.array([2, 3])).all()
    decoded = apply(codes, method="decode")
    expected = (jnp.clip(apply(images), -1, 1) + 1) * 4  # a call decodes the same codes
    np.testing.assert_array_equal(decoded, jnp.round(expected))


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
    codes = [apply.func(variables, jnp.where(hidden, x, images), method="encode")[..., 0] for x in (0, 8)]
    changed = np.any(codes[0] != codes[1], axis=0)
    assert changed.any()
    assert not (changed & ~is_drawn).any()


def test_perplexity_is_the_number_of_equally_frequent_codes():
    assert perplexity(np.arange(48).reshape(3, 4, 4, 1) % 16) == pytest.approx(16)
    assert perplexity(np.array([0, 0, 0, 1])) == pytest.approx(np.exp(0.5623351))


def test_the_coarse_codes_are_the_map_of_the_fine_prior(two_levels):
    _, model, result = two_levels
    images = jax.random.randint(jax.random.key(0), (2, 8, 8, 1), 0, 17)
    codes, h = model.encode(images), jnp.eye(10)[:2]
    assert {name: x.shape for name, x in codes.items()} == {"prior": (2, 4, 4, 1), "coarse_prior": (2, 2, 2, 1)}
    s = np.asarray(model.map_of(codes)).reshape(2, 2, 2, 2, 2, 7)
    assert (s == s[:, :, :1, :, :1]).all()  # one for each square of a coarse code
    assert (s.sum(axis=-1) == 2).all()  # digits
    other = codes | {"coarse_prior": (codes["coarse_prior"] + 1) % 12}
    change = np.asarray(model.bits(other, h=h) != model.bits(codes, h=h))
    assert change.all()
    figures = result["report"]
    both = figures["bits_of_the_coarse_prior"] + figures["bits_of_the_prior"]
    assert both == pytest.approx(result["scores"]["test"]["bits_of_codes"], rel=1e-5)


def test_a_completion_keeps_what_is_observed(two_levels):
    _, model, _ = two_levels
    observed = jax.random.randint(jax.random.key(2), (4, 8, 8, 1), 0, 17)
    mask = np.zeros((1, 8, 8, 1), bool)
    mask[:, :6] = True
    images = model.sample(jax.random.key(3), shape=(4, 8, 8), h=jnp.eye(10)[:4], observed=observed, mask=mask)
    np.testing.assert_array_equal(images[:, :6], observed[:, :6])
    different = model.sample(jax.random.key(4), shape=(4, 8, 8), h=jnp.eye(10)[:4], observed=observed, mask=mask)
    assert (images != different).any()


def test_the_commands_know_that_bits_of_codes_are_no_likelihood(two_levels, tmp_path):
    workdir, _, result = two_levels
    said = pixelcnn("evaluate", workdir)
    assert f"{result['scores']['test']['bits_of_codes']:.2f} bits of codes" in said
    refused = ["score", workdir, tmp_path], ["compress", workdir, tmp_path, "-o", tmp_path / "x"]
    for line in (*refused, ["evaluate", workdir, "--mean-over=mirrored"]):
        assert "no likelihood of pixels, so" in pixelcnn(*line)
    assert "100 samples" in pixelcnn("sample", workdir, "-o", tmp_path / "grid.png")
    save_grid(tmp_path / "digit.png", np.eye(8, dtype=int).reshape(1, 1, 8, 8, 1), levels=2)
    line = ["sample", workdir, "--complete", tmp_path / "digit.png", "--label", 3, "-o", tmp_path / "some.png"]
    assert "8 approximate completions" in pixelcnn(*line)
    assert (tmp_path / "some.png").exists()


@pytest.mark.parametrize("stage", ["tokenizer", "codes"])
def test_a_killed_run_ends_with_the_same_bits(stage, workdirs, tmp_path, monkeypatch):
    needs = {"settings.tokenizer": str(workdirs("tokenizer"))} if stage == "codes" else {}
    changes = needs | {"train.checkpoint_every": 1}
    tiny_run(stage, tmp_path / "whole", changes)
    save, calls = Checkpoints.save, iter(range(9))

    def killed(self, step, state):
        save(self, step, state)
        if next(calls) == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        tiny_run(stage, tmp_path / "killed", changes)
    monkeypatch.undo()
    tiny_run(stage, tmp_path / "killed", changes)
    ends = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert ends[0] == ends[1]


def test_a_tokenizer_that_is_trained_again_or_lost_under_a_prior_is_noticed(tmp_path, monkeypatch):
    tiny_run("tokenizer", tmp_path / "tokenizer")
    changes = {"settings.tokenizer": str(tmp_path / "tokenizer"), "train.checkpoint_every": 1}
    monkeypatch.setattr(Checkpoints, "save", lambda *_: sys.exit())
    with pytest.raises(SystemExit):
        tiny_run("codes", tmp_path / "codes", changes)
    monkeypatch.undo()
    (tmp_path / "tokenizer").rename(tmp_path / "lost")
    with pytest.raises(InputError, match=f"no model, folder or file {tmp_path}/tokenizer"):
        tiny_run("codes", tmp_path / "codes", changes)
    tiny_run("tokenizer", tmp_path / "tokenizer", {"settings.features": 9})
    with pytest.raises(InputError, match="tokenizer was trained again since this run began"):
        tiny_run("codes", tmp_path / "codes", changes)


def test_codes_of_ones_own(tmp_path, monkeypatch):
    """A decoder that paints code k as the colour k; of 8-bit colours, though there are four codes."""
    colours = lambda codes: jnp.repeat(jnp.repeat(codes * 60, 2, axis=1), 3, axis=2).repeat(3, axis=3)  # noqa: E731
    monkeypatch.setitem(sys.modules, "my_codes", SimpleNamespace(decode=colours))
    codes = {f"{name}_image": np.arange(64 * 12).reshape(64, 3, 4) % 4 for name in ("train", "validation", "test")}
    np.savez(tmp_path / "codes.npz", **codes)
    own = {"settings.decoder": "my_codes:decode", "data.dataset": "array", "data.data_dir": str(tmp_path / "codes.npz")}
    config = tiny_config("codes", own | {"data.levels": 4, "data.labels": False})
    recipe, splits = recipe_of("codes"), tiny_splits(config)
    result = train(config, recipe, splits, tmp_path / "run")
    assert result["report"]["bits_of_the_prior"] < 40  # 24 by chance
    pictures = recipe.make_experiment(config, splits.spec).sample(
        {"prior": load_pretrained(tmp_path / "run").variables["prior"]}, jax.random.key(0), {"h": None, "train": None}
    )
    assert pictures.shape == (4, 4, 6, 12, 3)
    assert {*np.unique(pictures)} <= {0, 60, 120, 180}
    assert json.loads((tmp_path / "run" / "model.json").read_text())["measure"] == "bits_of_codes"


@pytest.mark.long
def test_the_commands_of_the_page_work_at_the_first_try(tmp_path):
    """On 2,000 pictures of 64x64, with short trainings: discs of any colour before a sky."""
    page = (ROOT / "docs" / "codes.md").read_text()
    (tmp_path / "photos").mkdir()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "my_codes.py").write_text(block)
    random, (y, x) = np.random.default_rng(0), np.mgrid[:64, :64][..., None]
    for index in range(2000):
        height, left, radius = random.integers(10, 54, 3)
        disc = (y - height) ** 2 + (x - left) ** 2 < radius**2 / 4
        picture = np.where(disc, random.integers(0, 256, 3), 100 + 2 * y + [0, 0, 20]).astype(np.uint8)
        save_grid(tmp_path / "photos" / f"{index}.png", picture[None, None], levels=256)
    save_grid(tmp_path / "photo.png", picture[None, None], levels=256)
    programs = {"python": [sys.executable], "pixelcnn": [sys.executable, "-m", "pixelcnn_jax.cli"]}
    text = "".join(re.findall(r"^```sh\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    lines = [["python", "my_codes.py"], *map(shlex.split, text.splitlines())]
    lines.insert(2, [word for word in lines[1] if "workdir" not in word] + ["--dry_run"])
    for program, *words in lines:
        more = [f"--config.train.{name}={x}" for name, x in SHORT.items()] if "experiments.train" in words else []
        line, paths = [*programs[program], *words, *more], {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=os.environ | paths)
        assert done.returncode == 0, (line, done.stderr)
        if "--dry_run" in words:
            assert "training minutes" in done.stdout
    assert (tmp_path / "grid.png").exists() & (tmp_path / "completed.png").exists()
