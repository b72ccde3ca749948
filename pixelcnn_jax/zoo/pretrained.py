"""Trained models on disk: safetensors weights and a JSON card."""

import dataclasses
import difflib
import glob
import hashlib
import inspect
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load, save

from pixelcnn_jax.foundation.errors import InputError, first_line, require
from pixelcnn_jax.foundation.files import atomic_write, write_json
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning import conditional_model
from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder
from pixelcnn_jax.models.declarations import condition_sizes
from pixelcnn_jax.models.inputs import Condition, ImageSpec, Variables
from pixelcnn_jax.zoo.model_card import FORMAT, GIVEN_CAPTION, GIVEN_EXAMPLES, UNCONDITIONAL, checked, read_card_file
from pixelcnn_jax.zoo.registry import build, describe

PUBLISHED = Path(__file__).parents[1] / "weights"
HUB_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")

Model = nn.Module | Mapping[str, Any]


class Pretrained(NamedTuple):
    """A trained model, as ``load_pretrained`` returns it.

    Attributes:
      model: A network, a ``ConditionalModel``, or a dict of networks.
      variables: Its variables, for ``model.apply``, ``log_prob`` and ``sample``; for a dict of networks, a dict by the
        same names.
      card: What is known about the model: its scores, the config and the command of its training, and more;
        ``card["image_spec"]`` is an ``ImageSpec`` with the height and width of its images.
    """

    model: Any
    variables: dict[str, Any]
    card: dict[str, Any]


def pretrained_names() -> list[str]:
    """Lists the published models, whose weights come with the package.

    Returns:
      Names for ``load_pretrained``, sorted.

    Example:
      >>> from pixelcnn_jax import pretrained_names
      >>> "mnist_classes" in pretrained_names()
      True
    """
    return sorted(_published())


def name_of(path: Path) -> str:
    """Writes a path, with ./ before it if it is also a published name."""
    return f".{os.sep}{path}" if str(path) in pretrained_names() else str(path)


def integer_model_of(name: str) -> str:
    """Resolves a published name to its integer model, if it has one."""
    return integer_name if (integer_name := f"{name}_integer") in _published() else name


def load_pretrained(name: str | Path, *, model: Model | None = None) -> Pretrained:
    """Loads a trained model, and checks its weights against the SHA-256 in its card.

    Args:
      name: A published name, the folder of a run or of ``save_pretrained``, a .safetensors file, or the card beside it
        (a JSON file of the same name). For a model on the Hugging Face Hub, write "hf://OWNER/NAME", or
        "hf://OWNER/NAME@REVISION" for one revision. If a path is also a published name, write "./NAME" for the path.
      model: None, the default, builds what the card describes. Pass the network, or a dict of networks, only if its
        class is your own and is not registered with ``register``.

    Returns:
      The model, its variables and its card: a dict of scores, settings and, as "image_spec", the ``ImageSpec``.

    Raises:
      InputError: If there is no such model, or its files are damaged, hold NaN, or cannot be loaded by this version.

    Example:
      >>> from pixelcnn_jax import load_pretrained
      >>> model, variables, card = load_pretrained("digits")
      >>> card["image_spec"].shape, card["parameters"]
      ((8, 8, 1), 183409)
    """
    variables, card = read_weights(name)
    if card.get("dtype") == "float64" and jnp.zeros(()).dtype != jnp.float64:
        raise InputError(f"{name} holds float64, which needs JAX_ENABLE_X64=1 in the environment.")
    try:
        model = build(card["networks"]) if model is None else model
        _check_fit(model, variables)
    except Exception as error:  # a card can name anything
        raise InputError(f"The networks of {name} cannot be loaded: {first_line(error):.300}") from None
    return Pretrained(model, variables, card)


def read_content(file: Path, card_file: Path) -> tuple[bytes, dict[str, Any]]:
    """Reads the weights' bytes, checked against the SHA-256 of the card, and the card.

    Raises:
      InputError: weights missing or damaged.
    """
    card = read_card_file(card_file)
    digest = card["sha256"]
    # An interrupted ``save_pretrained`` leaves the weights in a file beside, which is named by their digest.
    candidates = (path.read_bytes() for path in (file, _side_file(file, digest)) if path.is_file())
    content = next((x for x in candidates if hashlib.sha256(x).hexdigest() == digest), None)
    if content is None:
        raise InputError(f"{file} is damaged or missing: its SHA-256 must be that of its card. Fetch the file again.")
    return content, card


def read_weights(name: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads variables and card without building the networks.

    Raises:
      InputError: model not found, damaged or NaN.
    """
    content, card = read_content(*find_model(name))
    try:
        flat = jax.device_put(load(content))
        variables = flax.traverse_util.unflatten_dict(flat, sep=".")
    except Exception as error:  # safetensors and JAX raise many kinds
        raise InputError(f"{name} holds no arrays that can be read: {first_line(error):.300}") from None
    if any(np.isnan(np.asarray(x)).any() for x in flat.values()):
        raise InputError(f"{name} holds parameters that are NaN: the run that wrote it has diverged.")
    return variables, card


def read_card(name: str | Path) -> dict[str, Any]:
    """Reads the card of a model, named as in ``load_pretrained``."""
    return read_card_file(find_model(name)[1])


def save_pretrained(
    path: str | Path,
    model: Model,
    variables: Variables,
    card: Mapping[str, Any] | None = None,
    *,
    image_shape: tuple[int, int] | None = None,
    classes: int | None = None,
) -> None:
    """Writes a model for ``load_pretrained`` and the commands of ``pixelcnn``.

    A model at the same path is replaced in one step, so a process that is killed leaves either the old or the new one.

    Args:
      path: A folder, which will hold model.safetensors and model.json, or a .safetensors file, beside which the card
        is written as a .json file of the same name. Files of these names are replaced.
      model: A network, a ``ConditionalModel``, or a dict of networks. If its class is your own, ``register`` the class.
      variables: Its variables; for a dict of networks, a dict by the same names. bfloat16 is stored as float32.
      card: A dict to keep with the model. Its values must be JSON, except for "image_spec", which is an ``ImageSpec``
        (size, channels, levels and classes of the images). The field "density" names what is modelled, such as "p(x|y)"
        for class labels y. Without this field, the density of a single model is found from the conditions that the
        model reads and from ``classes``. The fields "format", "networks", "image_spec", "parameters", "dtype", "sha256"
        and "checksum" are always written by this function.
      image_shape: Height and width of its images, for a single model. Without it, the card must have an "image_spec".
      classes: Number of classes, if h is a class label. The weights do not show whether h is a label or another vector,
        so pass it for a model of labels. If None, h counts as a label if two things hold: the network is of this
        package, and the "image_spec" of the card has as many ``classes`` as h has entries.

    Returns:
      Nothing.

    Raises:
      InputError: If neither ``image_shape`` nor an "image_spec" in the card is given (a dict of networks needs the
        "image_spec"), if the fields of the card are not as ``load_pretrained`` needs them, or if the name of a variable
        has a dot.

    Example:
      >>> import tempfile
      >>> import jax
      >>> from pixelcnn_jax import GatedPixelCNN, load_pretrained, save_pretrained
      >>> model = GatedPixelCNN(levels=4, features=8, layers=2)
      >>> variables = model.init(jax.random.key(0), jax.numpy.zeros((1, 6, 6, 1), int))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save_pretrained(folder, model, variables, image_shape=(6, 6))
      ...     load_pretrained(folder).model == model
      True
    """
    file, card = _file_in(Path(path).expanduser()), dict(card or {})
    if image_shape is not None and isinstance(model, nn.Module):
        height, width = image_shape
        new = ImageSpec(height, width, model.channels, model.levels)
        card["image_spec"] = dataclasses.replace(card.get("image_spec", new), height=height, width=width)
    if "image_spec" not in card:
        raise InputError('Pass image_shape=(height, width), or a card with an "image_spec".')
    spec: ImageSpec = dataclasses.replace(card["image_spec"], **{"classes": classes} if classes else {})
    if "density" not in card and not isinstance(model, Mapping):
        card["density"] = _density(model, variables, spec, classes)
    arrays = flax.traverse_util.flatten_dict(jax.device_get(flax.core.unfreeze(dict(variables))))
    if dotted := [name for path in arrays for name in path if "." in name]:
        raise InputError(f"A variable's name must have no dot, got {dotted[0]}.")
    # safetensors writes bfloat16 but cannot read it, and writes any array in the order of its memory.
    flat = {".".join(path): np.asarray(x, np.float32 if x.dtype.kind == "V" else None) for path, x in arrays.items()}
    content = save({name: np.asarray(x, order="C") for name, x in flat.items()})
    floats = [x for x in flat.values() if jnp.issubdtype(x.dtype, jnp.floating)]
    digest = hashlib.sha256(content).hexdigest()
    facts = {
        "format": FORMAT,
        "networks": describe(model),
        "image_spec": vars(spec),
        "parameters": sum(x.size for x in flat.values()),
        "dtype": np.result_type(np.float32, *floats).name if floats or not flat else "integer",
        "sha256": digest,
    }
    side, card = _side_file(file, digest), {**facts, **card, **facts}
    try:
        card = json.loads(json.dumps(card, allow_nan=False, default=lambda x: x.item()))
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"card cannot be stored as JSON: {error}") from None
    checked(card, file.with_suffix(".json"))
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(side, content)
    write_json(file.with_suffix(".json"), card)
    side.replace(file)
    for stale in file.parent.glob(f"{glob.escape(file.stem)}.{'[0-9a-f]' * 12}.safetensors"):
        if hashlib.sha256(stale.read_bytes()).hexdigest().startswith(stale.suffixes[-2][1:]):  # not a user's own
            stale.unlink()


def _density(model: nn.Module, variables: Variables, spec: ImageSpec, classes: int | None) -> str:
    if not isinstance(model, Network):
        takes = inspect.signature(type(model).__call__).parameters
        return density_of(model, [name for name in Condition._fields if name in takes], classes)
    sizes = condition_sizes(model, variables["params"])
    return density_of(model, sizes, classes or sizes.get("h") == spec.classes)


def density_of(model: Any, condition: Iterable[str], labels: Any) -> str:
    """Names the density of a model given the parts of ``condition``; h is a class label if ``labels``."""
    kinds = {SetEncoder: GIVEN_EXAMPLES, TextEncoder: GIVEN_CAPTION, conditional_model.ConstantCondition: UNCONDITIONAL}
    names = ["y" if name == "h" and labels else name for name in condition]
    plain = f"p(x|{', '.join(names)})" if names else UNCONDITIONAL
    return kinds.get(type(getattr(model, "conditioner", None)), plain)


def _published() -> dict[str, Path]:
    return {file.stem: file for file in PUBLISHED.glob("*.safetensors") if file.with_suffix(".json").is_file()}


def _file_in(path: Path) -> Path:
    return path if path.suffix == ".safetensors" else path / "model.safetensors"


def _card_file(file: Path) -> Path:
    beside = file.with_suffix(".json")
    is_of_hub = file.name == "model.safetensors" and file.is_file() and not beside.is_file()
    return file.with_name("config.json") if is_of_hub else beside


def find_model(name: str | Path) -> tuple[Path, Path]:
    """Locates the weights and the card of a model, named as in ``load_pretrained``."""
    if str(name).startswith("hf://"):
        file = _fetch(str(name))
        return file, _card_file(file)
    path = Path(os.path.expanduser(name))  # keeps unknown users
    is_card = path.suffix == ".json" and path.is_file()
    file = path.with_suffix(".safetensors") if is_card else _file_in(path)
    exists = (card := _card_file(file)).is_file()
    if isinstance(name, str) and (published := _published().get(name)):
        if exists:
            print(f"Loading the published model {name}: for your own, write .{os.sep}{name}.", file=sys.stderr)
        return published, published.with_suffix(".json")
    if not exists:
        if path.is_dir():
            raise InputError(f"{name} holds no model: a run writes its model.json at its first validation.")
        near = difflib.get_close_matches(name, pretrained_names(), n=1) if isinstance(name, str) else []
        hint = f"did you mean {near[0]}?" if near else "`pixelcnn models` lists the published ones."
        raise InputError(f"There is no model, folder or file {name}: {hint}")
    return file, card


def _fetch(address: str) -> Path:
    """Downloads weights and card from the Hub, or finds them in its cache."""
    if (parts := HUB_ADDRESS.fullmatch(address)) is None:
        raise InputError(f"A model on the Hub is named hf://OWNER/NAME or hf://OWNER/NAME@REVISION, got {address}.")
    require("huggingface_hub", extra="hub", what="The Hub")
    import huggingface_hub as hub

    repository, revision = parts.groups()
    try:
        hub.hf_hub_download(repository, "config.json", revision=revision)
        return Path(hub.hf_hub_download(repository, "model.safetensors", revision=revision))
    except Exception as error:  # huggingface_hub raises many kinds
        raise InputError(f"{address} cannot be fetched: {first_line(error):.300}") from error


def _side_file(file: Path, digest: str) -> Path:
    return file.with_name(f"{file.stem}.{digest[:12]}.safetensors")


def _check_fit(model: Model, variables: Variables) -> None:
    if isinstance(model, Mapping):
        for name, part in model.items():
            _check_fit(part, variables[name])
    elif isinstance(model, conditional_model.ConditionalModel):
        _check_fit(model.network, of_network := conditional_model.part_of(variables, "network"))
        if isinstance(model.conditioner, conditional_model.ConstantCondition):
            model.conditioner.check(condition_sizes(model.network, of_network["params"]).get("h"))
    elif isinstance(model, Network):
        conditional_model.check_params(model, variables["params"])
        model.check_variables(variables)
