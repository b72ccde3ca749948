"""Trained models on disk: safetensors weights and a JSON card that says what they are and what they reached.

Published models, the workdir of a run, and a file that was copied from either are one format and load the same way.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from safetensors.flax import load, save

from pixelcnn_jax.codec.bounds import check_bounds
from pixelcnn_jax.codec.integer import IntegerPixelCNN
from pixelcnn_jax.download import fetch_model
from pixelcnn_jax.errors import InputError, first_line
from pixelcnn_jax.fields import field, read_group
from pixelcnn_jax.files import atomic_write, write_json
from pixelcnn_jax.models.arguments import public
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditional import ConditionalModel, check_params
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.models.registry import build, describe

FORMAT = 2
MAX_SUBPIXELS = 2**22  # of an image
# The second is there in a checkout only: models for comparisons, and those that would make the package too large.
PUBLISHED = (Path(__file__).parent / "weights", Path(__file__).parents[1] / "benchmarks" / "results")

Model = nn.Module | ConditionalModel | Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardFields:
    """The fields of a card that the package reads; a card may hold more."""

    networks: Mapping[str, Any] = field(None, "the networks as ``describe`` writes them")
    sha256: str = field(None, "digest of the weights")
    image_spec: Mapping[str, Any] = field(None, "the images")
    config: Mapping[str, Any] | None = field(None, "the config of the run")
    experiment: str = field("", "the experiment of the run")
    score_of: str = field("p(x)", "the density that was learned")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecFields:
    """The fields of an ``ImageSpec`` in a card."""

    height: int = field(None, "rows", least=1)
    width: int = field(None, "columns", least=1)
    channels: int = field(None, "channels", least=1)
    levels: int = field(None, "values of a sub-pixel", least=2, most=2**16)
    classes: int | None = field(None, "number of class labels", least=1, most=2**20)
    words: tuple[str, ...] | None = field(None, "vocabulary of captions")


class Pretrained(NamedTuple):
    """A trained model.

    Attributes:
      model: a network, a network with its conditioner, or, for an experiment with several networks, a dict of them.
      variables: the parameters, as ``model.apply``, ``log_prob`` and ``sample`` take them; for several networks a dict
        of such by the networks' names.
      card: what the model is and what it reached; ``card["image_spec"]`` is an ``ImageSpec``.
    """

    model: Any
    variables: dict[str, Any]
    card: dict[str, Any]


def pretrained_names() -> list[str]:
    """Returns the names of the published models."""
    return sorted(_published())


@public
def integer_model_of(name: str) -> str:
    """Returns the name of a published model's integer model, or the given name if it has none."""
    return one if (one := f"{name}_integer") in _published() else name


@public
def load_pretrained(name: str | Path) -> Pretrained:
    """Loads a trained model. The weights are read without pickle and must match the SHA-256 of their card.

    Args:
      name: a name of ``pretrained_names()``, the workdir of a run, a .safetensors file with its card next to it, or the
        URL of one with its hash, "https://.../NAME.safetensors#sha256=...", which is fetched once.

    Raises:
      InputError: if there is no such model, its weights are damaged, not finite, or not those of its networks, or its
        networks cannot be built by this version.
    """
    file = _weights_file(name)
    card = _read_card(file.with_suffix(".json"))
    digest = card["sha256"]
    # An interrupted ``save_pretrained`` left the weights next to the file.
    candidates = (path.read_bytes() for path in (file, _side_file(file, digest)) if path.is_file())
    content = next((x for x in candidates if hashlib.sha256(x).hexdigest() == digest), None)
    if content is None:
        raise InputError(f"{file} is damaged or missing: its SHA-256 must be that of its card. Fetch the file again.")
    try:
        model = build(card["networks"])
        flat = load(content)
        variables = flax.traverse_util.unflatten_dict(flat, sep=".")
        _check_fit(model, variables)
    except Exception as error:  # a card can name anything, and JAX and Flax raise many kinds of errors
        reason = first_line(error)
        raise InputError(f"{file} does not hold networks that this version can build: {reason:.300}") from None
    if not all(np.isfinite(np.asarray(x)).all() for x in flat.values()):
        raise InputError(f"{file} holds parameters that are NaN or infinite: the run that wrote it has diverged.")
    return Pretrained(model, variables, card)


@public
def read_card(name: str | Path) -> dict[str, Any]:
    """Returns the card of a model without loading its weights. Takes and refuses what ``load_pretrained`` does."""
    return _read_card(_weights_file(name).with_suffix(".json"))


def save_pretrained(path: str | Path, model: Model, variables: Variables, card: Mapping[str, Any]) -> None:
    """Writes a model so that ``load_pretrained`` finds the older or the newer one whole, whenever this is interrupted.

    Args:
      path: a folder, which gets model.safetensors and model.json, or a .safetensors file, whose card is put next to it.
      model: a network, a ``ConditionalModel``, or a dict of such by name.
      variables: its variables; for a dict of networks a dict by the same names.
      card: "image_spec" and whatever else is to be known of the model. The networks, the number of parameters, the
        dtype, the format and the SHA-256 of the weights are added.
    """
    file = _file_in(Path(path))
    flat = flax.traverse_util.flatten_dict(jax.device_get(flax.core.unfreeze(dict(variables))), sep=".")
    content = save({key: _as_float32(x) for key, x in flat.items()})
    digest = hashlib.sha256(content).hexdigest()
    facts = {
        "format": FORMAT,
        "networks": describe(model),
        "image_spec": ImageSpec(*card["image_spec"])._asdict(),
        "parameters": sum(x.size for x in flat.values()),
        "dtype": "integer" if isinstance(model, IntegerPixelCNN) else "float32",
        "sha256": digest,
    }
    side = _side_file(file, digest)
    atomic_write(side, content)
    write_json(file.with_suffix(".json"), {**facts, **card, **facts})
    side.replace(file)
    for stale in file.parent.glob(f"{file.stem}.*.safetensors"):
        if re.fullmatch(r"\.[0-9a-f]{12}\.safetensors", stale.name.removeprefix(file.stem)):
            stale.unlink()


def _published() -> dict[str, Path]:
    files = [file for folder in reversed(PUBLISHED) for file in folder.glob("*.safetensors")]
    return {file.stem: file for file in files if file.with_suffix(".json").is_file()}


def _file_in(path: Path) -> Path:
    return path if path.suffix == ".safetensors" else path / "model.safetensors"


def _weights_file(name: str | Path) -> Path:
    """Returns where the weights lie, once their folder is read; a published name comes before a folder of that name."""
    if found := _published().get(str(name)):
        return found
    if str(name).startswith(("https://", "http://")):
        return _file_in(fetch_model(str(name)))
    file = _file_in(Path(os.path.expanduser(name)))  # which leaves an unknown user as it is
    if not file.with_suffix(".json").is_file():
        if file.parent.is_dir() and file != Path(name):
            raise InputError(
                f"{name} holds no model: it needs a model.json, which a run writes at its first validation."
            )
        near = difflib.get_close_matches(str(name), pretrained_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else "`pixelcnn models` lists the published ones."
        raise InputError(f"There is no model {name}: {hint}")
    return file


def _side_file(file: Path, digest: str) -> Path:
    return file.with_name(f"{file.stem}.{digest[:12]}.safetensors")


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text())
        given = card.get("format", 1)
    except (ValueError, AttributeError, RecursionError):
        raise InputError(f"{path} is not the card of a model, or is damaged.") from None
    if given != FORMAT:
        raise InputError(
            f"{path} must be a card of format {FORMAT}, got format {given!r:.20}: train or fetch the model again."
        )
    known = {one.name for one in dataclasses.fields(CardFields)}
    fields = read_group(CardFields, {name: x for name, x in card.items() if name in known}, name=str(path))
    spec = read_group(SpecFields, fields.image_spec, name=f"image_spec of {path}")
    if not re.fullmatch("[0-9a-f]{64}", fields.sha256):
        raise InputError(f"{path} must name the SHA-256 of the weights, got {fields.sha256!r:.70}.")
    for group, values in (fields.config or {}).items():
        if isinstance(values, Mapping) is (group in ("experiment", "seed")):
            raise InputError(f"config.{group} of {path} is damaged: fetch the file again.")
    if math.prod((spec.height, spec.width, spec.channels)) > MAX_SUBPIXELS:
        raise InputError(f"image_spec of {path} must have at most {MAX_SUBPIXELS:,} sub-pixels.")
    read = {"config": fields.config or {}, "score_of": fields.score_of, "experiment": fields.experiment}
    return card | read | {"image_spec": ImageSpec(**dataclasses.asdict(spec))}


def _as_float32(x: Any) -> Array:
    """Returns floating-point values as float32; integers stay."""
    return jnp.asarray(x, jnp.float32 if jnp.issubdtype(x.dtype, jnp.floating) else x.dtype)


def _check_fit(model: Model, variables: Variables) -> None:
    """Raises an error unless the arrays have the shapes of the networks; h and s have the sizes of their kernels."""
    if isinstance(model, Mapping):
        for name, one in model.items():
            _check_fit(one, variables[name])
        return
    network = model.network if isinstance(model, ConditionalModel) else model
    if isinstance(network, Network):  # what an encoder reads is known to its experiment alone
        check_params(network, variables["params"])
    if isinstance(network, IntegerPixelCNN):
        check_bounds(network, variables)
