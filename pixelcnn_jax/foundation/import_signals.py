"""Ctrl-C and SIGTERM end a command in one line, also during imports."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType


def end(number: int, frame: FrameType | None) -> None:
    """Signal handler."""
    os.write(2, b"Interrupted: repeat the command; a training goes on from its last checkpoint.\n")
    while frame is not None and "importlib" not in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is not None:  # JAX's imports collect garbage, whose callbacks lose an exception
        os._exit(128 + number)
    sys.exit(128 + number)


# Here, as Python imports this package before a command's module. Programs that import the package keep their handlers.
module = dict(zip(sys.orig_argv, sys.orig_argv[1:], strict=False)).get("-m", "")
if module.startswith(("experiments.", "pixelcnn_jax.")) or Path(*sys.argv[:1]).name == "pixelcnn":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
