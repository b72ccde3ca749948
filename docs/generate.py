"""Writes the pages that a program can write: API, models, config fields, commands, modules, notebooks.

``conf.py`` calls it before every build; git ignores the pages.
"""

import dataclasses
import inspect
import pkgutil
from pathlib import Path
from typing import NamedTuple

import click
import jupytext

import pixelcnn_jax
from experiments import EXPERIMENTS, recipe_of
from pixelcnn_jax.cli.command import main as pixelcnn
from pixelcnn_jax.training.config import RunConfig
from tools.table import markdown, rows_of

DOCS = Path(__file__).parent
ROOT = DOCS.parent
FIRST = "your_images"  # the notebook that the front page shows
COLAB = "https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs"


class Topic(NamedTuple):
    """A page of the API: its names by the modules they are imported from, below ``pixelcnn_jax``."""

    title: str
    about: str
    names: dict[str, str]

    def full_names(self) -> list[str]:
        """Returns the names with their modules; a module without names stands for itself."""
        parts = [(module, name) for module, names in self.names.items() for name in names.split() or [""]]
        return [".".join(filter(None, ("pixelcnn_jax", *part))) for part in parts]


TOPICS = {
    "networks": Topic(
        "Networks",
        "The networks of the package, what they have in common, and what a network of your own can use "
        "([Reuse](../reuse.md)).",
        {
            "": "GatedPixelCNN PixelCNN RowLSTM DiagonalBiLSTM register check_causal",
            "zoo.registry": "ModelConfig",
            "models.autoregressive": "Network",
            "models.streaming": "Stream",
            "models.layers": "",
            "models.attention": "",
        },
    ),
    "conditions": Topic(
        "Conditions",
        "Modules that turn what a caller gives as h into a vector or a map for the network "
        "([Conditioning](../conditioning.md)).",
        {
            "models.conditioning.conditional_model": "ConditionalModel ConstantCondition",
            "models.conditioning.encoders": "Encoder Deconvolution Upsampling",
            "models.conditioning.set_encoder": "SetEncoder",
            "models.conditioning.text_encoder": "TextEncoder",
        },
    ),
    "likelihood": Topic(
        "Likelihood",
        "The probability of images, and the distribution of one sub-pixel after the other "
        "([Likelihoods](../likelihoods.md)).",
        {
            "": "log_prob bits_per_dim evaluate nll",
            "training.evaluation": "Evaluation",
            "models.conditionals": "init_cache next_conditional Cache",
        },
    ),
    "information": Topic(
        "Information",
        "The information in measurements ([Measurements](../measurements.md)).",
        {
            "": "information",
            "training.information": "Information",
            "noise": "Poisson Gaussian BernoulliFlips as_counts",
        },
    ),
    "sampling": Topic(
        "Sampling",
        "New images, and missing parts of images ([Sampling](../sampling.md)).",
        {"": "sample sample_and_log_prob naive_sample"},
    ),
    "training": Topic(
        "Training and trained models",
        "Training on an array ([Your own data](../your_own_data.md)), the parts of an experiment "
        "([Your own experiment](../your_own_experiment.md)), and models on disk.",
        {
            "": "fit load_pretrained save_pretrained pretrained_names",
            "training.fit": "Fitted",
            "training.experiment": "Experiment Recipe",
            "foundation.devices": "use_all_cores keep_programs",
        },
    ),
    "codec": Topic(
        "Codec",
        "Lossless compression, by models in exact integers ([Compression](../compression.md)).",
        {"": "compress decompress quantise", "codec.integer": "IntegerPixelCNN"},
    ),
    "data": Topic(
        "Data",
        "Image files and data sets as arrays of levels, and back ([Your own data](../your_own_data.md)).",
        {
            "data.loading": "load",
            "data.dataset": "read_all take_images Dataset",
            "data.pictures": "as_levels as_pixels as_png grid png_bits_per_dim save_grid",
            "models.inputs": "ImageSpec",
            "": "InputError",
        },
    ),
}


def described() -> dict[str, str]:
    """Returns the full names of the classes and functions on the API pages, by their last parts."""
    full = [name for topic in TOPICS.values() for name in topic.full_names()]
    return {name.rpartition(".")[2]: name for name in full if not inspect.ismodule(pkgutil.resolve_name(name))}


def api(topic: Topic) -> str:
    """The names of one topic."""
    entries = []
    for name in topic.full_names():
        thing = pkgutil.resolve_name(name)
        is_error = isinstance(thing, type) and issubclass(thing, Exception)
        kind = "class" if isinstance(thing, type) else "module" if inspect.ismodule(thing) else "function"
        members = "" if kind == "function" or is_error else "   :members:\n"
        entries.append(f".. auto{'exception' if is_error else kind}:: {name}\n{members}")
    return f"# {topic.title}\n\n{topic.about}\n\n```{{eval-rst}}\n" + "\n".join(entries) + "```\n"


def api_index() -> str:
    """The topics of the API."""
    rows = []
    for file, topic in TOPICS.items():
        names = ", ".join(f"`{name.rpartition('.')[2]}`" for name in topic.full_names())
        rows.append(f"| [{topic.title}](api/{file}.md) | {names} |")
    toctree = "\n".join(f"api/{file}" for file in TOPICS)
    return (
        "# API\n\nThese are the names that programs use, by topic. The pages of the [modules](modules.md) describe "
        "everything else.\n\n| topic | names |\n|---|---|\n" + "\n".join(rows) + "\n\n"
        f"```{{toctree}}\n:hidden:\n\n{toctree}\n```\n"
    )


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
    """The help of every command of ``pixelcnn``."""
    context = click.Context(pixelcnn, info_name="pixelcnn", **pixelcnn.context_settings)
    pages = [
        f"## pixelcnn {name}\n\n```text\n{verb.get_help(click.Context(verb, info_name=name, parent=context))}\n```\n"
        for name, verb in sorted(pixelcnn.commands.items())
    ]
    return f"# Commands\n\n```text\n{pixelcnn.get_help(context)}\n```\n\n" + "\n".join(pages)


def packages() -> dict[str, list[str]]:
    """Returns the modules of the library and of the experiments, by their packages."""
    found: dict[str, list[str]] = {}
    for folder in ("pixelcnn_jax", "experiments"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            path = file.relative_to(ROOT).with_suffix("")
            if not file.name.startswith("__") and file.name != "netket.py":  # which needs NetKet
                found.setdefault(".".join(path.parts[:2][: len(path.parts) - 1]), []).append(".".join(path.parts))
    return found


def modules(package: str) -> str:
    """The modules of one package."""
    blocks = [
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n   :no-index:\n```\n"
        for name in packages()[package]
    ]
    return f"# {package}\n\n" + "\n".join(blocks)


def modules_index() -> str:
    """The packages."""
    toctree = "\n".join(f"modules/{package}" for package in packages())
    return (
        "# Modules\n\nThese pages describe every module, for readers who change the library. "
        f"The names that programs use are in the [API](api.md).\n\n```{{toctree}}\n:maxdepth: 2\n\n{toctree}\n```\n"
    )


def notebooks() -> str:
    """The notebooks of ``colabs/``, by their titles."""
    rows, others = [], []
    for file in sorted((ROOT / "colabs").glob("*.py")):
        title = jupytext.read(file).cells[0].source.splitlines()[0].lstrip("# ")
        rows.append(f"| [{title}](notebooks/{file.stem}.ipynb) | [Colab]({COLAB}/{file.stem}.ipynb) |")
        others += [f"notebooks/{file.stem}"] * (file.stem != FIRST)
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *others, "```", ""])
    return "\n".join(["# Notebooks", "", "| notebook | |", "|---|---|", *rows, "", toctree])


def pages() -> dict[str, str]:
    """Returns all pages, by their names."""
    parts = {f"api/{name}": api(topic) for name, topic in TOPICS.items()}
    parts |= {f"modules/{package}": modules(package) for package in packages()}
    indices = {"api": api_index(), "modules": modules_index()}
    return parts | indices | {page.__name__: page() for page in (models, config, commands, notebooks)}


def write_pages() -> None:
    """Writes the pages that have changed."""
    for name, text in pages().items():
        file = DOCS / f"{name}.md"
        file.parent.mkdir(exist_ok=True)
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)
