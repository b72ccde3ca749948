"""The model that a run of ``experiments.unconditional`` has trained, ready to use."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from pixelcnn_jax import GatedPixelCNN, InputError
from pixelcnn_jax.augment import as_they_are, fold
from pixelcnn_jax.checkpoint import Checkpoints


class Trained(NamedTuple):
    """A model of p(x) that was trained.

    Attributes:
      model: the network.
      variables: its best parameters.
      shape: height, width and channels of the images that it learned.
      config: that of the run.
    """

    model: GatedPixelCNN
    variables: dict[str, Any]
    shape: tuple[int, int, int]
    config: ConfigDict


def load(workdir: Path | str) -> Trained:
    """The best parameters of a workdir so far; a view that training gave as h (``augment``) is folded in.

    Raises InputError for a folder that is no workdir, or one where no validation is finished.
    """
    workdir = Path(workdir)
    try:
        config = ConfigDict(json.loads((workdir / "config.json").read_text()))
        height, width, channels = map(int, config.images.shape)
        model = GatedPixelCNN(levels=config.images.levels, channels=channels, **config.model)
        identity = as_they_are(1, height, width) if config.augment else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"{workdir} is not the workdir of a run: it has no config.json that can be read.") from error
    if not (workdir / "best").is_dir():  # a checkpointer would make it
        raise InputError(f"{workdir} holds no parameters: no validation of that run is finished.")
    like = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, height, width, channels), jnp.int32), identity)
    with closing(Checkpoints(workdir)) as checkpoints:
        variables = checkpoints.restore_best(dict(like))
    if identity is not None:
        variables = variables | {"params": fold(variables["params"], identity[0])}
    return Trained(model, variables, (height, width, channels), config)
