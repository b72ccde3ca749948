"""Models fetched by their URL: what was fetched is kept, and must have the SHA-256 that the URL names."""

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.files import atomic_write, cache_folder
from pixelcnn_jax.models.cards import read_card_file

TIMEOUT = 60  # seconds without an answer


def fetch_model(url: str) -> Path:
    """Returns the folder of a model that was fetched now or before: model.safetensors and model.json.

    Args:
      url: the address of the weights with their hash, "https://.../NAME.safetensors#sha256=...". The card must lie next
        to them, as NAME.json. Both are kept in ``$XDG_CACHE_HOME/pixelcnn-jax``, by default in ``~/.cache``.

    Raises:
      InputError: for a URL without a hash, an address that cannot be read, content of another hash, a damaged card.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"{url} is not a URL: {error}.") from error
    path, digest = PurePosixPath(parts.path), parts.fragment.removeprefix("sha256=")
    if path.suffix != ".safetensors" or not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError(f"A model's URL must end in .safetensors#sha256= and 64 hexadecimal digits, got {url}.")
    folder = cache_folder() / digest
    if not (folder / "model.json").exists():
        weights, card = (
            _read(urlunsplit(parts._replace(path=str(one), fragment=""))) for one in (path, path.with_suffix(".json"))
        )
        if (found := hashlib.sha256(weights).hexdigest()) != digest:
            raise InputError(f"{url} must have the SHA-256 that it names, but what was fetched has {found}.")
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / "model.safetensors", weights)
        atomic_write(folder / "model.json", card)
        try:
            read_card_file(folder / "model.json")
        except InputError:
            (folder / "model.json").unlink()  # or it would never be fetched again
            raise
    return folder


def _read(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
            return bytes(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:  # also an address that cannot be sent
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is an answer too
        raise InputError(f"{address} cannot be fetched: {getattr(error, 'reason', error)}.") from error
