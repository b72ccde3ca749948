"""A line of code holds a token of the program; blank lines, comments and docstrings hold none."""

from tools.code_lines import code_lines

MODULE = '''"""A docstring
of two lines."""

import os  # counts, with its comment

# does not count


def first(x):
    """Does not count."""
    text = """counts,
    with its second line"""
    return (
        x,
        text,
    )
'''


def test_blank_lines_comments_and_docstrings_do_not_count():
    assert code_lines(MODULE) == 8
