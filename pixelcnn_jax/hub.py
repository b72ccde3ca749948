"""Models on the Hugging Face Hub; fetching them needs the extra ``hub``."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixelcnn_jax.foundation.errors import InputError, first_line, require

ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
PAGE = Path(__file__).with_name("hub_page.md")  # read as a format string


def fetch_model(address: str) -> Path:
    """Downloads weights and card from the Hub, or finds them in its cache.

    Args:
      address: "hf://OWNER/NAME", or "hf://OWNER/NAME@REVISION".

    Raises:
      InputError: wrong address, no huggingface_hub, or failed download.
    """
    if (parts := ADDRESS.fullmatch(address)) is None:
        raise InputError(f"A model on the Hub is named hf://OWNER/NAME or hf://OWNER/NAME@REVISION, got {address}.")
    require("huggingface_hub", extra="hub", what="The Hub")
    import huggingface_hub as hub

    repository, revision = parts.groups()
    try:
        hub.hf_hub_download(repository, "config.json", revision=revision)
        return Path(hub.hf_hub_download(repository, "model.safetensors", revision=revision))
    except Exception as error:  # huggingface_hub raises many kinds
        raise InputError(f"{address} cannot be fetched: {first_line(error):.300}") from error


def model_page(name: str, card: Mapping[str, Any]) -> str:
    """Builds a model's README.md for the Hub."""
    scores = {split: score for split, score in card.get("scores", {}).items() if "bits_per_dim" in score}
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
        **asdict(card["image_spec"]),
    )
