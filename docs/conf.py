"""Sphinx configuration. The build needs no network: python -m sphinx -W -b html docs docs/_build/html."""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.addnodes import desc_signature, pending_xref
from sphinx.transforms import SphinxTransform

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]  # generate, experiments

from generate import described, write_pages  # noqa: E402

project = "pixelcnn-jax"
author = "The pixelcnn-jax authors"
project_copyright = author
extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
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

html_math_renderer = "mathml"  # MathJax would be loaded from the network
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
    """Copies the notebooks, with their stored outputs, into the sources; links to guides become those of the pages."""
    folder = DOCS / "notebooks"
    folder.mkdir(exist_ok=True)
    for notebook in (DOCS.parent / "colabs").glob("*.ipynb"):
        text = notebook.read_text().replace(f"{html_theme_options['repository_url']}/blob/main/docs/", "../")
        copy = folder / notebook.name
        if not copy.is_file() or copy.read_text() != text:  # only changed ones are rendered again
            copy.write_text(text)


def link_notebooks(app: Any, page: str, source: list[str]) -> None:
    """Makes links to notebooks, which lead to files in a checkout, those of the pages."""
    source[0] = source[0].replace("](../colabs/", "](notebooks/")


def point_to_models(app: Any, error: Exception | None) -> None:
    """Makes the page in the browser read the models beside it."""
    page = Path(app.outdir) / "_static" / "pixelcnn.html"
    page.write_text(page.read_text().replace(f"../{WEIGHTS}", ""))


def shorten(
    app: Any, kind: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> Any:
    """Returns a signature that can be read: without annotations, where sentences describe the arguments.

    Modules lose the arguments that Flax adds, and JAX's arrays have their short name.
    """
    if kind == "class" and issubclass(thing, nn.Module):
        fields = inspect.signature(thing).parameters.values()
        arguments = [f"{x.name}={x.default!r}" for x in fields if x.name not in ("parent", "name", "dtype")]
        return f"({', '.join(arguments)})", returns
    if kind in ("function", "method") and "Args:" in (inspect.getdoc(thing) or ""):
        parameters = [x for x in inspect.signature(thing).parameters.values() if x.name not in ("self", "cls")]
        plain = [
            x.replace(annotation=x.empty, default=... if inspect.isfunction(x.default) else x.default)
            for x in parameters
        ]
        return str(inspect.Signature(plain)).replace("Ellipsis", "..."), None
    return tuple(text and text.replace("jaxlib._jax.Array", "Array") for text in (signature, returns))


def escape(app: Any, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Escapes the bars of p(x|y) in docstrings, which reStructuredText would take for markup."""
    lines[:] = [re.sub(r"(``.*?``)|\|", lambda match: match[1] or r"\|", line) for line in lines]


def write_formula(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """Writes a formula as MathML, which browsers draw without a script."""
    is_block = isinstance(node, nodes.math_block)
    formula = convert(node.astext(), display="block" if is_block else "inline")
    formula = re.sub("(<mi>(?:exp|log)</mi>)(?=<m[in])", r'\1<mspace width="0.17em" />', formula)
    translator.body.append(f'<div class="equation">{formula}</div>' if is_block else formula)
    raise nodes.SkipNode


class LinkNames(SphinxTransform):
    """Links the first mention of a name in each section to its description in the API."""

    default_priority = 400  # before references are resolved

    def apply(self, **_: Any) -> None:
        """Called by Sphinx for each page."""
        names, seen = described(), set()
        for node in list(self.document.findall(nodes.literal)):
            above, parent = [], node.parent
            while parent:
                above, parent = [*above, parent], parent.parent
            no_place = (nodes.reference, pending_xref, nodes.title, desc_signature)
            section = next((id(x) for x in above if isinstance(x, nodes.section)), None)
            name = node.astext().removesuffix("()")
            target = names.get(name.rpartition(".")[2], "")
            is_free = target.endswith(name) and not any(isinstance(x, no_place) for x in above)
            if target and is_free and (section, name) not in seen:
                seen.add((section, name))
                options = dict(refdomain="py", reftype="obj", reftarget=target, refexplicit=True)
                link = pending_xref("", node.deepcopy(), refdoc=self.env.docname, **options)
                node.replace_self(link)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    copy_notebooks()
    write_pages()
    app.add_transform(LinkNames)
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("source-read", link_notebooks)
    app.connect("build-finished", point_to_models)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-process-docstring", escape)
