"""The notebooks: each runs from its first cell to its last, and is the same as its text."""

import json
import os
import re
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
COLABS = ROOT / "colabs"
NAMES = sorted({path.stem for path in COLABS.iterdir() if path.suffix in (".ipynb", ".py")})
TINY = {"model.features": 8, "model.layers": 1, "train.steps": 2, "train.eval_every": 2, "train.baselines": False}
# Notebook, parameters that make it small, number of pictures.
REDUCED = [
    ("autoencoder", {"STEPS": 2}, 2),
    ("compress", {"COUNT": 20}, 1),
    ("conditional", {"COLUMNS": 1}, 3),
    ("physics", {"SIZE": 4, "STEPS": 2}, 1),
    ("reuse", {"STEPS": 3}, 1),
    ("train_on_tpu", {"CONFIG": "digits", "CHANGES": TINY, "WORKDIR": ""}, 1),
    ("your_images", {"STEPS": 2, "WORKDIR": ""}, 6),
]


def with_parameters(notebook, **values):
    """Other values than those of the cell tagged "parameters", set by a cell after it, as papermill does it."""
    [place] = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())]
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(source))
    return notebook


def outputs(notebook, kind):
    return [output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == kind]


@pytest.mark.long
@pytest.mark.parametrize(("name", "parameters", "pictures"), REDUCED, ids=[name for name, *_ in REDUCED])
def test_notebooks_run_at_reduced_size_without_a_warning(name, parameters, pictures, tmp_path, monkeypatch):
    if "WORKDIR" in parameters:
        parameters = parameters | {"WORKDIR": str(tmp_path / "run")}
    # Neither kernels nor startup files of the user's; what the notebook writes is pytest's to remove.
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # `pixelcnn`
    notebook = with_parameters(jupytext.read(COLABS / f"{name}.py"), **parameters)
    # What `pip install .` does not bring is named by the cell that installs.
    asks = "import sys; print({'sklearn', 'ml_collections'}.isdisjoint(sys.modules))"
    notebook.cells.append(nbformat.v4.new_code_cell(asks))
    # In the checkout, where configs and experiments are found.
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(ROOT)}}).execute()
    assert len([one for one in outputs(notebook, "execute_result") if "image/png" in one.data]) == pictures
    errors = "".join(output.text for output in outputs(notebook, "stream") if output.name == "stderr")
    assert re.sub(r".*%\|.*", "", errors).strip() == ""  # commands show progress where they take long
    installs = next(cell.source for cell in notebook.cells if "find_spec" in cell.source)
    is_light = notebook.cells[-1].outputs[0].text == "True\n"
    assert is_light == (re.search('"(sklearn|ml_collections)"', installs) is None)


def test_every_notebook_is_run():
    assert [name for name, *_ in REDUCED] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_notebook_and_text_are_the_same(name):
    notebook, text = (jupytext.read(COLABS / f"{name}.{suffix}") for suffix in ("ipynb", "py"))
    notebook_cells, text_cells = (
        [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in one.cells] for one in (notebook, text)
    )
    assert notebook_cells == text_cells, f"jupytext --sync colabs/{name}.ipynb, after the newer of the two was saved"
    for one in (notebook, text):
        assert one.metadata["jupytext"]["formats"] == "ipynb,py:percent"


@pytest.mark.parametrize("name", NAMES)
def test_notebook_holds_nothing_of_the_machine_that_wrote_it(name):
    notebook = json.loads((COLABS / f"{name}.ipynb").read_text())
    for cell in notebook["cells"]:
        assert cell["metadata"].keys() <= {"tags"}
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"
            assert not re.search(r"/(root|home|tmp|Users)/", json.dumps(output))
    assert notebook["metadata"].keys() == {"jupytext", "kernelspec"}
    assert notebook["metadata"]["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
