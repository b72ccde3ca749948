"""Writes the pages that a program can write: API, models, config fields, commands, modules, notebooks.

``conf.py`` calls it before every build; git ignores the pages.
"""

import dataclasses
from pathlib import Path

import click
import jupytext

import pixelcnn_jax
from experiments import EXPERIMENTS, recipe_of
from pixelcnn_jax.cli.command import main as pixelcnn
from pixelcnn_jax.training.config import RunConfig
from tools.table import markdown, rows_of

DOCS = Path(__file__).parent
ROOT = DOCS.parent
COLAB = "https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs"
MORE = (
    "pixelcnn_jax.models.autoregressive.Network",
    "pixelcnn_jax.models.conditioning.conditional_model.ConditionalModel",
)


def api() -> str:
    """The names of ``pixelcnn_jax``."""
    entries = []
    for name in (*(f"pixelcnn_jax.{name}" for name in pixelcnn_jax.__all__), *MORE):
        thing = getattr(pixelcnn_jax, name.rpartition(".")[2], type)
        is_error = isinstance(thing, type) and issubclass(thing, Exception)
        kind = "autoexception" if is_error else "autoclass" if isinstance(thing, type) else "autofunction"
        entries.append(f".. {kind}:: {name}\n   :no-index:\n")
    return "# API\n\n```{eval-rst}\n" + "\n".join(entries) + "```\n"


def models() -> str:
    """The published models, from their cards."""
    rows = [row for name in pixelcnn_jax.pretrained_names() for row in rows_of(name)]
    return (
        "# Published models\n\n`load_pretrained(NAME)` loads a model, `pixelcnn evaluate NAME` recomputes its figures. "
        "Figures of training images are in brackets.\n\n" + markdown(rows)
    )


def config() -> str:
    """The fields of ``config``, by section."""

    def section(name: str, fields: type) -> list[str]:
        rows = [f"| `{x.name}` | `{x.default}` | {x.metadata['help']} |" for x in dataclasses.fields(fields)]
        return [f"## config.{name}\n", "| field | default | |", "|---|---|---|", *rows, ""] if rows else []

    shared = [field for field in dataclasses.fields(RunConfig) if dataclasses.is_dataclass(field.type)]
    lines = [line for field in shared for line in section(field.name, field.type)]  # type: ignore[arg-type]
    for name in EXPERIMENTS:
        lines += section(name, recipe_of(name).Config)
    return "# Config fields\n\n" + "\n".join(lines).replace(" | None", r" \| None")


def commands() -> str:
    """The help of every verb of ``pixelcnn``."""
    context = click.Context(pixelcnn, info_name="pixelcnn", **pixelcnn.context_settings)
    pages = [
        f"## pixelcnn {name}\n\n```text\n{verb.get_help(click.Context(verb, info_name=name, parent=context))}\n```\n"
        for name, verb in sorted(pixelcnn.commands.items())
    ]
    return f"# Commands\n\n```text\n{pixelcnn.get_help(context)}\n```\n\n" + "\n".join(pages)


def modules() -> str:
    """Every module of the library and of the experiments."""
    names = sorted(
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for folder in ("pixelcnn_jax", "experiments")
        for file in (ROOT / folder).rglob("*.py")
        if not file.name.startswith("__") and file.name != "netket.py"  # which needs NetKet
    )
    blocks = [f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n" for name in names]
    return "# Modules\n\n" + "\n".join(blocks)


def notebooks() -> str:
    """The notebooks of ``colabs/``, by their titles."""
    rows = []
    for file in sorted((ROOT / "colabs").glob("*.py")):
        title = jupytext.read(file).cells[0].source.splitlines()[0].lstrip("# ")
        rows.append(f"| [{title}](notebooks/{file.stem}.ipynb) | [Colab]({COLAB}/{file.stem}.ipynb) |")
    toctree = "```{toctree}\n:hidden:\n:glob:\n\nnotebooks/*\n```\n"
    return "\n".join(["# Notebooks", "", "| notebook | |", "|---|---|", *rows, "", toctree])


PAGES = {page.__name__: page for page in (api, models, config, commands, modules, notebooks)}


def write_pages() -> None:
    """Writes the pages that have changed."""
    for name, page in PAGES.items():
        file, text = DOCS / f"{name}.md", page()
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)
