"""Progress bars, where somebody is watching: on a terminal and in a notebook."""

import sys
from collections.abc import Iterable
from typing import Any

import jax
from tqdm import tqdm


def in_notebook() -> bool:
    """Whether the process is the kernel of a notebook: what it prints is shown, although no stream is a terminal."""
    # While another thread still imports IPython, it has no such function.
    get_shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell and get_shell()
    return bool(shell) and "IPKernelApp" in shell.config


def is_watched() -> bool:
    """Whether somebody sees what is shown: on a terminal or in a notebook."""
    return in_notebook() or sys.stderr.isatty()


def progress_bar(items: Iterable[Any] | None, title: str, *, shown: bool = True, **options: Any) -> Any:
    """Returns a tqdm bar over some items, ``shown`` by the first process only, and not where the output is piped.

    It goes to standard error. In a notebook it goes to standard output, since a notebook shows standard error like a
    failure, shares one line with other bars, since a notebook cannot move up, and is rare, since a notebook keeps each
    state of it.
    """
    notebook = in_notebook()
    # None: hidden where there is no terminal.
    hidden = not (shown and jax.process_index() == 0) or (False if notebook else None)
    place = {"file": sys.stdout, "position": 0, "mininterval": 5} if notebook else {"file": sys.stderr}
    return tqdm(items, title, disable=hidden, **place | options)
