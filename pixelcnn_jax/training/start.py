"""Training that starts from trained weights."""

import jax

from pixelcnn_jax.errors import InputError
from pixelcnn_jax.pretrained import load_pretrained
from pixelcnn_jax.training.checkpoint import shapes_of
from pixelcnn_jax.training.experiment import Experiment


def start_from(name: str | None, experiment: Experiment) -> Experiment:
    """Returns an experiment whose parameters start as those of a trained model; unchanged if no model is named.

    Raises:
      InputError: if there is no such model, or its networks differ.
    """
    if name is None:
        return experiment
    wanted = jax.eval_shape(experiment.init, jax.random.key(0))
    variables = load_pretrained(name).variables
    params = {part: variables[part] for part in wanted if part in variables}
    mine, theirs = shapes_of(wanted), shapes_of(params)
    for part in sorted(mine.keys() | theirs.keys()):
        if mine.get(part) != theirs.get(part):
            raise InputError(
                f"config.train.start_from={name} is another network: {part} has shape {theirs.get(part)} there and "
                f"{mine.get(part)} here."
            )
    return experiment._replace(init=lambda key: params)
