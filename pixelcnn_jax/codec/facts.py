"""Facts that must be equal where a network in floating point compresses images and where it decompresses them."""

import dataclasses
import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from pixelcnn_jax.codec.container import Container, digest
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.inputs import Condition, Variables


def facts_of(model: nn.Module, variables: Variables, condition: Condition) -> dict[str, Any]:
    """Returns the fields of a container that must be equal where it is written and where it is read."""
    return {
        "model": _digest_model(model),
        "weights": _digest_arrays(variables),
        "condition": _digest_arrays(condition),
        "dtype": np.dtype(getattr(model, "dtype", np.float32)).name,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "platform": f"{jax.default_backend()} {_rounding()}",
    }


def check_facts(container: Container, mine: dict[str, Any]) -> None:
    """Raises InputError for the first fact that differs from that of ``compress``."""
    for name, ours in mine.items():
        theirs = getattr(container, name)
        if theirs != ours:
            versus = "" if isinstance(theirs, bytes) else f" {theirs}, here it is {ours}"
            raise InputError(f"data was compressed with another {name}{versus}: decompress with the same {name}.")


def _digest_model(model: nn.Module) -> bytes:
    """Returns a digest of the class and the hyperparameters, without those of training and a mixture of 0."""
    skipped = ("parent", "name", "dropout", "remat", *(() if getattr(model, "mixture", 0) else ("mixture",)))
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model) if field.init}
    described = [
        f"{name}={np.dtype(value).name if name == 'dtype' else value!r}"
        for name, value in sorted(fields.items())
        if name not in skipped
    ]
    # The address of a function differs between processes.
    return digest(re.sub(r" at 0x[0-9a-f]+", "", f"{type(model).__name__}({', '.join(described)})").encode())


def _digest_arrays(tree: Any) -> bytes:
    parts: list[bytes] = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(jnp.asarray(leaf))  # as the model sees it: NumPy's float64 becomes float32
        described = f"{jax.tree_util.keystr(path)} {array.dtype.name} {array.shape}"
        parts += [described.encode(), np.ascontiguousarray(array).tobytes()]
    return digest(*parts)


@functools.cache
def _rounding() -> str:
    """Returns a digest of some sums, which depends on the instruction set and the compiler's options."""
    left, right = np.random.default_rng(0).normal(size=(2, 32, 256)).astype(np.float32)
    found = jax.jit(lambda left, right: jax.nn.softmax(jnp.tanh(left @ right.T)))(left, right)
    return digest(np.asarray(found).tobytes()).hex()[:8]
