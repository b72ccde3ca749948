"""Ctrl-C and SIGTERM end a command in one line, also during imports."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType


def end(number: int, frame: FrameType | None) -> None:
    """Signal handler."""
    os.write(2, b"Interrupted: repeat the command; a training goes on from its last checkpoint.\n")
    os._exit(128 + number)  # an exception would be lost in a callback of the garbage collector


# Here, as Python imports this package before a command's module. Programs that import the package keep their handlers.
runs_module = any(x.startswith(("experiments.", "pixelcnn_jax.")) for x in sys.orig_argv)
if runs_module or Path(*sys.argv[:1]).name == "pixelcnn":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
