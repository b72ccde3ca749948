"""Ctrl-C, SIGTERM and the time limit of a training: the loop saves its state, then ends."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 (it is a request, not an error)
    """Training was stopped by a signal and its state saved.

    Attributes:
      status: exit status, 128 + signal, or 0 at the time limit.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.status = 0 if number == signal.SIGALRM else 128 + number


class StopNow(BaseException):
    """Leaves the train loop, to save and stop: raised by ``StopRequest.check``, or by the loop itself."""


class StopRequest:
    """Stop flag, set by a signal; a second one ends the process at once.

    Attributes:
      signal: number of the signal, or None.
      multihost: whether several processes train.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.multihost = jax.process_count() > 1

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal by JAX's SIGTERM, which stops all processes at one step."""
        self.signal = number
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal in a single process. It raises nothing, which JAX's callbacks would lose or change."""
        self.signal = number if number != signal.SIGALRM else self.signal or number
        for sig in SIGNALS if number != signal.SIGALRM else ():
            signal.signal(sig, signal.SIG_DFL)
        if number == signal.SIGINT and os.isatty(2):
            os.write(2, b"\nStopping after this step and saving it. Press Ctrl-C again to quit without saving.\n")

    def check(self, *, limit: bool = False) -> None:
        """Raises ``StopNow`` in repeatable work of a single process, after a signal.

        Args:
          limit: also after the time limit. Inside a validation, one longer than the limit would start again forever.
        """
        if self.signal and (limit or self.signal != signal.SIGALRM) and not self.multihost:
            raise StopNow

    def reached(self, step: int) -> bool:
        """Whether to stop after this step; all processes agree."""
        if not self.multihost:
            return self.signal is not None
        reached = multihost_utils.reached_preemption_sync_point(step)
        if reached:
            self.signal = self.signal or signal.SIGTERM
        return reached


@contextlib.contextmanager
def stop_requests(seconds: float | None = None, *, listens: bool = True) -> Iterator[StopRequest]:
    """Handles SIGINT, SIGTERM and a time limit in seconds; only in the main thread."""
    request = StopRequest()
    if not listens or threading.current_thread() is not threading.main_thread():
        yield request
        return
    # With several processes, JAX itself listens for SIGTERM.
    signals: tuple[signal.Signals, ...] = (signal.SIGINT,) if request.multihost else SIGNALS
    signals += () if seconds is None else (signal.SIGALRM,)
    before = {sig: signal.signal(sig, request.pass_on if request.multihost else request.handle) for sig in signals}
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield request
    finally:
        if seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for sig, handler in before.items():
            signal.signal(sig, handler)
