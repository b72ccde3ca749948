"""Progress bars: on a terminal and in a notebook, of one process, and nothing in a pipe."""

import io
import sys

import pytest

from pixelcnn_jax.foundation import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, *, terminal=False):
    """Whether standard output and standard error show a bar, where the latter is a terminal or neither of them is."""
    output, errors = io.StringIO(), Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    assert list(progress.progress_bar(range(3), "counting")) == [0, 1, 2]
    return "counting: 100%" in output.getvalue(), "counting: 100%" in errors.getvalue()


@pytest.fixture
def notebook(monkeypatch):
    """Makes the process a notebook kernel."""
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", None)


def test_a_pipe_has_no_bar_and_a_terminal_has_one(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel.kernelapp", raising=False)
    assert shown(monkeypatch) == (False, False)
    assert shown(monkeypatch, terminal=True) == (False, True)


def test_a_notebook_has_a_bar_among_its_output(monkeypatch, notebook):
    assert shown(monkeypatch) == (True, False)


def test_bars_in_a_notebook_share_a_line(monkeypatch, notebook):
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    for _ in progress.progress_bar(range(2), "outer"):
        assert list(progress.progress_bar(range(2), "inner", leave=False, mininterval=0)) == [0, 1]
    assert output.getvalue().count("\n") == 1
    assert "inner: 100%" in output.getvalue()
    assert "\x1b" not in output.getvalue()


def test_only_the_first_process_has_a_bar(monkeypatch, notebook):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    assert shown(monkeypatch, terminal=True) == (False, False)
