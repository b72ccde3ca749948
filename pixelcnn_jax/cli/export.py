"""The command ``export``: a folder for the Hugging Face Hub."""

import json
import shutil
from pathlib import Path
from typing import Any

import click
import safetensors.numpy

from pixelcnn_jax.cli import options
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.zoo.pretrained import find_model, read_content

PAGE = Path(__file__).with_name("hub_page.md")  # read as a format string


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
    card["parameters"] = card.get("parameters") or sum(x.size for x in safetensors.numpy.load(content).values())
    page = model_page(title.absolute().name, card)
    folder.mkdir(exist_ok=True)
    atomic_write(folder / "model.safetensors", content)
    shutil.copyfile(facts, folder / "config.json")
    atomic_write(folder / "README.md", page)
    options.report({"model": name, "output": str(folder)}, f"{folder}: {name} for the Hub", as_json=as_json)


def model_page(name: str, card: dict[str, Any]) -> str:
    """Builds a model's README.md for the Hub."""
    kept = {"data", "images", "bits_per_dim"}
    scores = {split: score for split, score in card.get("scores", {}).items() if kept <= score.keys()}
    results = [
        {
            "task": {"type": "unconditional-image-generation"},
            "dataset": {"type": "images", "name": score["data"], "split": split},
            "metrics": [{"type": "bits_per_dim", "name": "bits/dim", "value": score["bits_per_dim"]}],
        }
        for split, score in scores.items()
    ]
    index = json.dumps([{"name": name, "results": results}])  # YAML, too
    rows = "\n".join(f"| {x['data']} | {x['images']:,} | {x['bits_per_dim']:.4f} |" for x in scores.values())
    return PAGE.read_text().format(
        name=name,
        index=f"model-index: {index}\n" if results else "",
        title=card["networks"].get("class", "Several networks"),
        density=card["density"],
        rows=rows,
        parameters=card["parameters"],
        **vars(card["image_spec"]),
    )
