"""Writes the notebooks of ``colabs/`` from their text: python docs/render_notebooks.py [NAME ...]

Those that are named are executed, and their outputs stored. The others keep the outputs that they have, if their code
is the same.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
}


def read_text(file: Path) -> Any:
    """Returns the notebook that a text stands for, with nothing of the machine, and ids that depend on places alone."""
    notebook = jupytext.read(file)
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def execute(notebook: Any) -> None:
    """Runs all cells in the checkout."""
    os.environ["PYTHONPATH"] = str(ROOT)
    place = {"metadata": {"path": str(ROOT)}}
    NotebookClient(notebook, timeout=7200, resources=place, coalesce_streams=True).execute()
    notebook.metadata = nbformat.from_dict(METADATA)


def tidy(notebook: Any) -> None:
    """Removes times, machine, progress bars, and the JPEG that Pillow shows with every PNG."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "text" in output:
                output.text = re.sub(r".*%\|.*\n?", "", output.text)
            output.get("data", {}).pop("image/jpeg", None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("text") != ""]


def keep_outputs(notebook: Any, older: Path) -> None:
    """Takes the outputs of an older notebook whose code is the same."""
    if not older.exists():
        return
    old, new = (
        [cell for cell in one.cells if cell.cell_type == "code"]
        for one in (nbformat.read(older, as_version=4), notebook)
    )
    if [cell.source for cell in old] == [cell.source for cell in new]:
        for cell, old_cell in zip(new, old, strict=True):
            cell.update({name: old_cell[name] for name in ("outputs", "execution_count") if name in old_cell})


def main(names: list[str]) -> None:
    """Runs the command."""
    for file in sorted((ROOT / "colabs").glob("*.py")):
        notebook, target = read_text(file), file.with_suffix(".ipynb")
        if file.stem in names:
            execute(notebook)
        else:
            keep_outputs(notebook, target)
        tidy(notebook)
        target.write_text(nbformat.writes(notebook) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
