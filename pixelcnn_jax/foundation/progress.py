"""Progress bars on terminals and in notebooks."""

import sys
from collections.abc import Iterable
from typing import Any

import jax
from tqdm import tqdm


def in_notebook() -> bool:
    """Whether the process is a notebook kernel."""
    return "ipykernel.kernelapp" in sys.modules


def progress_bar(items: Iterable[Any] | None, title: str, *, shown: bool = True, **options: Any) -> Any:
    """Makes a tqdm bar, hidden where piped and on all but the first process.

    In a notebook it uses standard output, shares one line with other bars and updates rarely.
    """
    notebook = in_notebook()
    # None: hidden where there is no terminal.
    hidden = not (shown and jax.process_index() == 0) or (False if notebook else None)
    place = {"file": sys.stdout, "position": 0, "mininterval": 5} if notebook else {"file": sys.stderr}
    return tqdm(items, title, **{"disable": hidden} | place | options)
