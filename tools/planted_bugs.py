"""Plants the bugs of ``planted_bugs.toml`` and checks that the tests find each.

python -m tools.planted_bugs [--only TEXT]

Works in a temporary copy of the checkout. Exit status 1 if a bug is missed.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[1]
BUGS = Path(__file__).with_suffix(".toml")
PASSED, FAILED = 0, 1  # exit status of pytest; others are for tests that are not there or cannot be collected


def copy_checkout(target: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


@contextlib.contextmanager
def planted(place: Path, bug: dict[str, Any]) -> Iterator[None]:
    """Plants a bug in a copy of the checkout, then restores it."""
    file = place / bug["file"]
    text = file.read_text()
    if text.count(bug["old"]) != 1:
        raise click.ClickException(f"{bug['file']} must hold once: {bug['old']}")
    file.write_text(text.replace(bug["old"], bug["new"]))
    try:
        yield
    finally:
        file.write_text(text)


def run_tests(place: Path, tests: list[str]) -> tuple[int, str, float]:
    """Runs pytest to the first failure; returns exit status, last lines, CPU seconds."""
    before = os.times()
    line = [sys.executable, "-B", "-m", "pytest", "--numprocesses=0", "--exitfirst", "-p", "no:cacheprovider", *tests]
    # Programs that a bug does not change are compiled once for all bugs.
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(place / "compiled")}
    done = subprocess.run(line, cwd=place, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout[-2000:] + done.stderr[-500:], sum(os.times()[2:4]) - sum(before[2:4])


def outcome_of(place: Path, bug: dict[str, Any]) -> tuple[str, float]:
    """Describes the tests of a bug: "found", "missed", or why they did not run."""
    with planted(place, bug):
        status, output, seconds = run_tests(place, bug["tests"])
    if status not in (PASSED, FAILED):
        click.echo(output, err=True)
    return {FAILED: "found", PASSED: "MISSED"}.get(status, f"pytest ended with {status}"), seconds


@click.command(help=__doc__.partition("\n")[0])
@click.option("--only", default="", help="Plant only bugs whose file or description contains this.")
def main(only: str) -> None:
    bugs = [bug for bug in tomllib.loads(BUGS.read_text())["bug"] if only in bug["file"] + bug["what"]]
    if not bugs:
        raise click.ClickException(f"No bug matches {only}.")
    began, missed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="planted-bugs-") as folder:
        place = Path(folder)
        copy_checkout(place)
        status, output, _ = run_tests(place, sorted({test for bug in bugs for test in bug["tests"]}))
        if status != PASSED:
            raise click.ClickException(f"The tests must pass without a bug:\n{output}")
        click.echo("| file | bug | tests | outcome | CPU s |\n|---|---|---|---|---|")
        for bug in bugs:
            outcome, seconds = outcome_of(place, bug)
            missed += outcome != "found"
            row = (bug["file"], bug["what"], f"`{' '.join(bug['tests'])}`", outcome, f"{seconds:.0f}")
            click.echo(f"| {' | '.join(row)} |")
    minutes = (time.monotonic() - began) / 60
    click.echo(f"{len(bugs) - missed} of {len(bugs)} bugs were found, in {minutes:.0f} minutes.")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
