"""Weights anyone can check: safetensors files, each with a card that says what they are and what they reached."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
from safetensors import SafetensorError
from safetensors.flax import load_file
from safetensors.flax import save as to_bytes

from pixelcnn_jax.errors import InputError
from pixelcnn_jax.files import atomic_write
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.pixelcnn import PixelCNN
from pixelcnn_jax.models.pixelrnn import DiagonalBiLSTM, RowLSTM

PRETRAINED = Path(__file__).parent / "weights"
NETWORKS: dict[str, type[Network]] = {
    network.__name__: network for network in (GatedPixelCNN, PixelCNN, RowLSTM, DiagonalBiLSTM)
}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Pretrained(NamedTuple):
    """A model that was trained, with its weights.

    Attributes:
      model: the network.
      variables: its weights in float32, as ``model.apply``, ``log_prob`` and ``sample`` take them.
      card: what they are: "config", "scores", "images", "condition" (how many numbers h and s have, if any), and more.
    """

    model: Network
    variables: Params
    card: dict[str, Any]


def pretrained_names() -> list[str]:
    """The weights that come with the package."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


def load_pretrained(name: str | Path) -> Pretrained:
    """A trained model, by a name of ``pretrained_names()`` or the path of a .safetensors file with its card beside it.

    The file is read without pickle and must have the SHA-256 that the card states.
    Raises InputError for weights that are not there, damaged, or of a network that this version does not have.
    """
    file, card = read_card(name)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from None
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise InputError(f"{file} is damaged or not what its card is of: its SHA-256 is another. Fetch it again.")
    try:
        arrays = load_file(file)
        exact = {tuple(name.split(".")): x.astype(jnp.float32) for name, x in arrays.items()}
        variables = flax.traverse_util.unflatten_dict(exact)
        model = NETWORKS[card["network"]](**card["model"])
        shapes = _shapes(model, card["condition"]) if "condition" in card else None
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise InputError(f"{file} is of a network that this version of pixelcnn_jax cannot build: {error}.") from None
    if shapes not in (None, jax.tree.map(jnp.shape, variables)):
        raise InputError(f"{file} does not hold the parameters of the network that its card is of.")
    return Pretrained(model, variables, card)


def _shapes(model: Network, condition: dict[str, int]) -> Params:
    """Of the parameters of a model that is given an h, an s, or both, of so many numbers."""
    image = jnp.zeros((1, 1, 1, model.channels), jnp.int32)
    h = jnp.zeros((1, condition["h"])) if "h" in condition else None
    s = jnp.zeros((1, 1, 1, condition["s"])) if "s" in condition else None
    return jax.tree.map(jnp.shape, jax.eval_shape(model.init, jax.random.key(0), image, h, s))


def read_card(name: str | Path) -> tuple[Path, dict[str, Any]]:
    """The weights' file and its card. Raises InputError where there is none."""
    file = Path(name) if Path(name).suffix == ".safetensors" else PRETRAINED / f"{name}.safetensors"
    try:
        card = json.loads(file.with_suffix(".json").read_text())
        if not {"sha256", "network", "model"} <= card.keys():
            raise ValueError
    except OSError:
        raise InputError(f"There are no weights {name}: there are {', '.join(pretrained_names())}.") from None
    except (ValueError, AttributeError):
        raise InputError(f"{file.with_suffix('.json')} is not the card of weights.") from None
    return file, card


def rounded(params: Params, *, dtype: str = "float32") -> Params:
    """The parameters as they come back from a file of this type. Raises InputError for another type."""
    if dtype not in DTYPES:
        raise InputError(f"Weights are kept as one of {', '.join(DTYPES)}, not as {dtype}.")
    return jax.tree.map(lambda x: jnp.asarray(x).astype(DTYPES[dtype]).astype(jnp.float32), params)


def save_weights(file: Path, params: Params, card: dict[str, Any], *, dtype: str = "float32") -> None:
    """Writes the weights to a .safetensors file and their card beside it, to which their SHA-256 is added.

    A file that cannot be written leaves neither.
    """
    flat = flax.traverse_util.flatten_dict(rounded(flax.core.unfreeze(params), dtype=dtype))
    content = to_bytes({".".join(path): x.astype(DTYPES[dtype]) for path, x in flat.items()})
    named = card | {"dtype": dtype, "sha256": hashlib.sha256(content).hexdigest()}
    atomic_write(file, content)
    try:
        atomic_write(file.with_suffix(".json"), json.dumps(named, indent=2) + "\n")
    except OSError:
        file.unlink()
        raise
