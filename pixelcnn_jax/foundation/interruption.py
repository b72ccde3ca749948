"""The end of a command by Ctrl-C or SIGTERM outside of the train loop, whose end is in ``training/signals.py``."""

import os
import signal
import sys
from types import FrameType


def end_in_one_line(message: str) -> None:
    """Lets SIGINT and SIGTERM end this process in one line, with exit status 128 plus the signal.

    A command calls it before its slow imports, so that they end in one line too. It also replaces a standard output or
    error that the shell has closed.

    Args:
      message: The line, without its newline.
    """

    def end(number: int, frame: FrameType | None) -> None:
        os.write(2, f"{message}\n".encode())
        while frame is not None and not {"_xla_gc_callback", "_find_and_load"} & {frame.f_code.co_name}:
            frame = frame.f_back
        if frame is not None:  # JAX's callback of the garbage collector, also in imports, loses an exception
            os._exit(128 + number)
        sys.exit(128 + number)

    # A shell may have closed them (``2>&-``).
    sys.stdout, sys.stderr = (x or open(os.devnull, "w") for x in (sys.stdout, sys.stderr))  # noqa: SIM115
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
