"""The exception for user errors, and its message."""

import errno
from importlib.util import find_spec

MAX_CHARACTERS = 800  # of a message


class InputError(ValueError):
    """What the package raises for a mistake of its caller, a damaged file or a missing one.

    The message says what happened and, where there is a remedy, what to do. The commands print it without a traceback.
    Control characters in it are escaped, and a long message is cut in the middle.

    Example:
      >>> from pixelcnn_jax import InputError, load_pretrained
      >>> try:
      ...     load_pretrained("digts")
      ... except InputError as error:
      ...     print(error)
      There is no model, folder or file digts: did you mean digits?
    """

    def __init__(self, message: str) -> None:
        if len(message) > MAX_CHARACTERS:
            message = f"{message[: MAX_CHARACTERS // 2]}...{message[-MAX_CHARACTERS // 4 :]}"
        super().__init__("".join(x if x.isprintable() else ascii(x)[1:-1] for x in message))


def require(module: str, *, extra: str, what: str) -> None:
    """Raises InputError, which says how to install it, if the module that ``what`` needs is missing."""
    if find_spec(module) is None:
        raise InputError(f"{what} needs {module}: in a checkout, pip install '.[{extra}]'.")


def first_line(error: Exception) -> str:
    """Extracts the first line of an error's message."""
    return str(error).strip().partition("\n")[0]


def user_message(error: Exception) -> str | None:
    """Formats the message of a user error, file error or lack of memory, else None."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in first_line(error):
        return "Out of memory: use a smaller batch, or fewer or smaller images."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return f"A file could not be written: {error.strerror}."
    return None
