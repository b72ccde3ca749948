"""Wrong command lines, and how each must end."""

import contextlib
import io
import random
import tempfile
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from experiments import train
from pixelcnn_jax.cli.command import main
from stress.judge import REFUSED, judge, one_sentence

LINES = Path(__file__).with_name("command_lines.txt").read_text().splitlines()


def places():
    """Returns a folder with what the command lines name."""
    root = Path(tempfile.mkdtemp(prefix="stress-calls-"))
    (root / "file").write_bytes(b"no image, no model and no container")
    (root / "empty").mkdir()
    (root / "full").mkdir()
    (root / "full" / "a").write_text("somebody's")
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


def attack_lines(report, *, seed, count):
    """Runs some of the wrong command lines, and reports how each ends."""
    files = places()
    for line in random.Random(seed).sample(LINES, min(count, len(LINES))):
        command, _, rest = line.format(**files).partition(" ")
        run = run_pixelcnn if command == "pixelcnn" else run_train
        report(judge(lambda run=run, rest=rest: run(rest), line))
