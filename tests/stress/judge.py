"""What an attack may end in: a refusal in one sentence, or the right result, within bounds of time and memory."""

import contextlib
import resource
import time
from pathlib import Path

from pixelcnn_jax.foundation.errors import user_message

SECONDS = 20  # of processor time
MEGABYTES = 2048  # resident, beyond what the process held before
REFUSED, RIGHT = "refused", "right"


def one_sentence(text):
    """Whether a person can read it: one short line without Python's internals."""
    strange = ("Traceback", "object at 0x", "<class", "NoneType object", "Error(")
    return 0 < len(text) < 1000 and text.isprintable() and not any(one in text for one in strange)


def judge(work, description):
    """Does some work, which returns how it ended; returns a record, whose outcome is a failure unless listed above."""
    with contextlib.suppress(OSError):  # Linux only: the peak of memory from now on
        Path("/proc/self/clear_refs").write_text("5")
    before, began = peak(), time.process_time()
    try:
        outcome = work()
    except Exception as error:
        message = user_message(error) or f"{type(error).__name__}: {error}"
        refused = type(error).__module__ == "flax.errors" or (user_message(error) and one_sentence(message))
        outcome = REFUSED if refused else message[:500]
    seconds, megabytes = time.process_time() - began, peak() - before
    if outcome in (REFUSED, RIGHT) and (seconds > SECONDS or megabytes > MEGABYTES):
        outcome = "slow or large"
    return {"outcome": outcome, "seconds": seconds, "megabytes": megabytes, "case": description[:500]}


def peak():
    """Returns the largest resident memory since the last reset, in megabytes."""
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
