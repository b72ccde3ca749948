"""Stopping on request: Ctrl-C, SIGTERM and preemption end a run with a checkpoint, not in the middle of a step."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 (it is a request, not an error)
    """Training was stopped by a signal after its state was saved.

    Attributes:
      signal: number of the signal; the exit status of a command is 128 more.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class StopNow(BaseException):
    """Raised by a signal inside ``StopRequest.may_raise``."""


class StopRequest:
    """Whether a signal has asked this run to stop. A second signal ends the process at once.

    Attributes:
      signal: number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._several = jax.process_count() > 1
        self._raises = False

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGINT where several processes train: JAX makes all stop at one step, after SIGTERM."""
        self.signal = number
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self.signal = number
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        if self._raises:
            raise StopNow

    @contextlib.contextmanager
    def may_raise(self) -> Iterator[None]:
        """Lets a signal raise ``StopNow`` in work that can be done again, such as a validation."""
        if self.signal is not None and not self._several:
            raise StopNow
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def reached(self, step: int) -> bool:
        """Whether to stop after this step; the same answer in all processes."""
        if not self._several:
            return self.signal is not None
        reached = multihost_utils.reached_preemption_sync_point(step)
        if reached:
            self.signal = self.signal or signal.SIGTERM
        return reached


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Listens for SIGINT and SIGTERM meanwhile."""
    request = StopRequest()
    several = {signal.SIGINT: request.pass_on}  # JAX itself listens for SIGTERM then
    handlers = several if jax.process_count() > 1 else dict.fromkeys(SIGNALS, request.handle)
    before = {one: signal.signal(one, handler) for one, handler in handlers.items()}
    try:
        yield request
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
