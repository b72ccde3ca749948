"""The command ``pixelcnn``, which draws, completes, scores, compresses and evaluates with a trained model.

Each command has a file; read ``command.py`` first, then ``options.py`` and ``image_levels.py`` (image files to levels
and back), which they share. Imports everything in the library; nothing in the library imports it.
"""

import contextlib
import os
import sys

from pixelcnn_jax.foundation.interruption import end_in_one_line


def main() -> None:
    """Runs the command of this process; ``pixelcnn_jax.cli.command.main`` is the same as a click command."""
    end_in_one_line("Interrupted.")
    with contextlib.suppress(AttributeError):  # stdout may be closed
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names that it cannot show
    from pixelcnn_jax.cli import command  # imports JAX

    try:
        command.main(prog_name="pixelcnn")
    except SystemExit as ended:
        if isinstance(ended.code, int) and ended.code > 128:  # by a signal; threads may still compute
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(ended.code)
        raise
