"""Sphinx configuration. The build needs no network: python -m sphinx -W -b html docs docs/_build/html."""

import inspect
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]  # generate, experiments

from generate import write_pages  # noqa: E402

project = "pixelcnn-jax"
author = "The pixelcnn-jax authors"
project_copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
suppress_warnings = [
    "ref.python",  # public names are described where they are defined too, so a bare name has two targets
    "misc.highlighting_failure",  # shell commands in notebooks
]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"

autodoc_member_order = "bysource"
toc_object_entries = False  # modules are headings already
napoleon_use_ivar = True  # or fields of dataclasses would be described twice
napoleon_attr_annotations = False  # the stars of jaxtyping would be read as emphasis

html_theme = "sphinx_book_theme"
html_title = project
MODELS = ("mnist_classes_integer", "digits_integer", "cifar10_integer")  # of the page in the browser
WEIGHTS = "../pixelcnn_jax/weights/"
html_static_path = ["_static", *(f"{WEIGHTS}{name}.{kind}" for name in MODELS for kind in ("json", "safetensors"))]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_theme_options = {
    "repository_url": "https://github.com/pixelcnn-jax/pixelcnn-jax",
    "repository_branch": "main",
    "path_to_docs": "docs",
    "use_repository_button": True,
    "use_download_button": False,
    "navbar_persistent": [],  # the search field is in the sidebar
}


def copy_notebooks() -> None:
    """Copies the notebooks, with their stored outputs, into the sources."""
    folder = DOCS / "notebooks"
    folder.mkdir(exist_ok=True)
    for notebook in (DOCS.parent / "colabs").glob("*.ipynb"):
        shutil.copy2(notebook, folder)  # the time stays too, so that only changed ones are rendered again


def point_to_models(app: Any, error: Exception | None) -> None:
    """Makes the page in the browser read the models beside it."""
    page = Path(app.outdir) / "_static" / "pixelcnn.html"
    page.write_text(page.read_text().replace(f"../{WEIGHTS}", ""))


def shorten(
    app: Any, kind: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> Any:
    """Returns a signature without the arguments that Flax adds to a module, and with the short name of JAX's arrays."""
    if kind == "class" and issubclass(thing, nn.Module):
        fields = inspect.signature(thing).parameters.values()
        arguments = [f"{x.name}={x.default!r}" for x in fields if x.name not in ("parent", "name", "dtype")]
        return f"({', '.join(arguments)})", returns
    return tuple(text and text.replace("jaxlib._jax.Array", "Array") for text in (signature, returns))


def escape(app: Any, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Escapes the bars of p(x|y) in docstrings, which reStructuredText would take for markup."""
    lines[:] = [re.sub(r"(``.*?``)|\|", lambda match: match[1] or r"\|", line) for line in lines]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    copy_notebooks()
    write_pages()
    app.connect("build-finished", point_to_models)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-process-docstring", escape)
