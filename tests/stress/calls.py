"""Wrong calls of the public functions, and wrong command lines: a table of what may be given for each argument."""

import contextlib
import io
import tempfile
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
from click.testing import CliRunner
from flax import nnx

from experiments import train
from pixelcnn_jax import (
    GatedPixelCNN,
    bits_per_dim,
    compress,
    decompress,
    evaluate,
    load_pretrained,
    log_prob,
    naive_sample,
    quantise,
)
from pixelcnn_jax import sample as draw
from pixelcnn_jax.cli import main
from pixelcnn_jax.models.conditioning.conditional import ConditionalModel
from pixelcnn_jax.models.conditioning.encoders import Deconvolution
from stress.fuzz import compressed, float_model
from stress.judge import REFUSED, judge, one_sentence


def wrong_arguments():
    """Returns wrong values by the name of an argument."""
    model, variables, images = float_model()
    other = GatedPixelCNN(levels=5, features=9, layers=1)
    theirs = other.init(jax.random.key(0), images)
    conditional = model.init(jax.random.key(0), images, np.zeros((4, 3), np.float32))
    anything = [None, 5, 1.5, "text", [], {}, object(), lambda: None, int]
    arrays = [*anything, images.tolist(), np.array(["a"]), np.array([None]), np.zeros((4, 5, 3, 1)), images[0]]
    return {
        "model": [
            *anything,
            GatedPixelCNN,
            model.bind(variables),
            nnx.bridge.ToNNX(model, rngs=nnx.Rngs(0)),
            nn.Dense(3),
            Deconvolution((5, 3, 2)),
            ConditionalModel("a", "b"),
            ConditionalModel(model, 5),
            other,
        ],
        "variables": [
            *anything,
            variables["params"],
            theirs,
            conditional,
            {"params": {}},
            {"params": None},
            {"params": [1]},
            {"params": {1: images, "a": images}},
            jax.tree.map(lambda x: x.tolist(), variables),
            jax.tree.map(str, variables),
            jax.tree.map(lambda x: x[..., :1], variables),
        ],
        "images": [*arrays, images[..., [0, 0]], images + 5, images - 9, images.astype(complex), images > 0],
        "key": [
            *anything,
            jax.random.PRNGKey(0),
            np.zeros(2, np.uint32),
            [jax.random.key(0)],
            jax.random.split(jax.random.key(0), 9),
        ],
        "shape": [*anything, (5, 3), (4, 5, 3, 1), "453", (0, 5, 3), (4, -5, 3), (4.0, 5, 3), (10**6,) * 3, [None] * 3],
        "h": [*anything[1:], np.zeros((4, 3), np.float32), np.zeros(4, int), np.array(["a"] * 4), np.float32(1)],
        "s": [*anything[1:], np.zeros((4, 5, 3, 2), np.float32), np.zeros(4)],
        "given": [*anything[1:], images, images.tolist(), np.array([None])],
        "mask": [*anything[1:], images > 0, [True]],
        "batch_size": [None, 0, -1, "5", 2.5, True, [4], {}],
        "extra": [None, 5, "text", [1], object()],
        "on_row": [5, "text", [], {}],
        "data": [*anything, b"", b"text", "text", [1, 2], np.zeros(3)],
        "group": [-1, "0", 1.5, True, [], 3],
        "max_subpixels": [None, 0, -1, "5", 2.5, 1],
        **{name: [None, -1, "1", [], True, np.nan, np.inf, 10**400] for name in ("temperature", "guidance")},
        "name": [None, 5, b"digits", "", "nothing", [], "a\0b", "a\n", object(), {}],
    }


def wrong_calls():
    """Yields a description and a function for each wrong call."""
    model, variables, images = float_model()
    integer, integers, _, data = compressed()
    basis, coding = {"model": model, "variables": variables}, {"model": integer, "variables": integers}
    drawing = basis | {"key": jax.random.key(0), "shape": (4, 5, 3)}
    functions = {
        log_prob: (basis | {"images": images}, ["h", "s"]),
        bits_per_dim: (basis | {"images": images}, ["h", "s"]),
        evaluate: (basis | {"images": images}, ["h", "s", "batch_size"]),
        draw: (drawing, ["h", "s", "given", "mask", "temperature", "guidance", "on_row"]),
        naive_sample: (drawing, ["h", "s", "given", "mask", "temperature", "guidance"]),
        compress: (coding | {"images": images}, ["h", "s", "batch_size", "extra", "on_row"]),
        decompress: (coding | {"data": data}, ["h", "s", "group", "max_subpixels", "on_row"]),
        quantise: (basis | {"images": images}, ["h"]),
        load_pretrained: ({}, ["name"]),
    }
    wrong = wrong_arguments()
    for function, (right, more) in functions.items():
        for name in [*right, *more]:
            for value in wrong[name]:
                given = right | {name: value}
                yield f"{function.__name__}({name}={str(value)[:60]})", lambda f=function, g=given: f(**g)


def places():
    """Returns a folder with what the command lines name."""
    root = Path(tempfile.mkdtemp(prefix="stress-calls-"))
    (root / "file").write_bytes(b"no image, no model and no container")
    (root / "empty").mkdir()
    (root / "full").mkdir()
    (root / "full" / "a").write_text("somebody's")
    from PIL import Image

    Image.fromarray(np.full((8, 8), 77, np.uint8)).save(root / "image.png")
    return {name: root / name for name in ("file", "empty", "full", "new", "none")} | {"image": root / "image.png"}


def run_pixelcnn(line):
    result = CliRunner().invoke(main, line.split())
    if result.exit_code == 0:
        return "accepted"
    if not isinstance(result.exception, SystemExit):
        raise result.exception
    lines = result.stderr.strip().splitlines()
    usage = result.exit_code == 2 and lines[0].startswith("Usage: ")  # click's own, which ends in a sentence
    whole = one_sentence(lines[-1]) and lines[-1].startswith("Error: ") and (usage or len(lines) == 1)
    return REFUSED if whole else f"not one sentence: {result.stderr}"


def run_train(line):
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            train.main(["train", *line.split()])
    except SystemExit as stopped:
        text = str(stopped.code)
        return REFUSED if one_sentence(text) and text.startswith("error: ") else f"not one sentence: {text}"
    return "accepted"


def attack_calls(*, report, every=1):
    """Makes each wrong call (or some of them), and reports how it ends."""
    for description, call in [*wrong_calls()][::every]:
        report(judge(lambda call=call: ("accepted", call())[0], description))


def attack_lines(*, report, every=1):
    """Runs each wrong command line (or some of them), and reports how it ends."""
    files = places()
    for line in Path(__file__).with_name("command_lines.txt").read_text().splitlines()[::every]:
        command, _, rest = line.format(**files).partition(" ")
        run = run_pixelcnn if command == "pixelcnn" else run_train
        report(judge(lambda run=run, rest=rest: run(rest), line))
