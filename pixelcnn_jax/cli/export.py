"""The command ``export``: a folder for the Hugging Face Hub."""

import shutil
from pathlib import Path

import click

from pixelcnn_jax.cli import options
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.hub import model_page
from pixelcnn_jax.pretrained import find_model, read_content


@click.command()
@options.model_argument
@click.option("--hub", "folder", type=options.path, required=True, help="New or empty folder.")
@options.json_option
def export(name: str, folder: Path, as_json: bool) -> None:
    """Write MODEL as a folder for the Hugging Face Hub.

    Upload it with `hf upload OWNER/NAME FOLDER`; FOLDER and hf://OWNER/NAME both load it.
    """
    options.check_output(folder, folder=True, name="--hub")
    weights, facts = find_model(name)
    content, card = read_content(weights, facts)
    of_file = weights.parent if weights.stem == "model" else weights.with_suffix("")
    title = Path(name.partition("@")[0]) if name.startswith("hf://") else of_file
    page = model_page(title.absolute().name, card)
    folder.mkdir(exist_ok=True)
    atomic_write(folder / "model.safetensors", content)
    shutil.copyfile(facts, folder / "config.json")
    atomic_write(folder / "README.md", page)
    options.report({"model": name, "output": str(folder)}, f"{folder}: {name} for the Hub", as_json=as_json)
