"""The one exception that is meant for the user's eyes."""


class InputError(ValueError):
    """Something the user gave is wrong.

    Its message is one sentence that says what to do; command lines print it alone, without a traceback.
    """
