"""The one exception that is meant for the user's eyes, and what else is told as it is."""

import errno


class InputError(ValueError):
    """Something the user gave is wrong.

    Its message is one sentence that says what to do; command lines print it alone, without a traceback.
    """


def sentence_of(error: InputError | OSError) -> str | None:
    """What there is to tell a user: of files that cannot be read or written too; None where it is none of theirs."""
    if not isinstance(error, OSError):
        return str(error)
    if error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return f"A file could not be written: {error.strerror}."
    return None
