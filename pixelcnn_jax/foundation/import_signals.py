"""Ctrl-C and SIGTERM end a command in one line, also during imports."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType


def end(number: int, frame: FrameType | None) -> None:
    """Signal handler."""
    os.write(2, b"Interrupted: repeat the command; a training goes on from its last checkpoint.\n")
    sys.exit(128 + number)


# Here, as Python imports this package before a command's module. Programs that import the package keep their handlers.
if {"experiments.train", "pixelcnn_jax.cli"} & {*sys.orig_argv} or Path(*sys.argv[:1]).name == "pixelcnn":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
