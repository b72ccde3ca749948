"""One file per run. ``python -m experiments.train --config=configs/NAME.py --help`` lists all fields.

``get_config`` may take an experiment, ``--config=configs/imagenet32.py:class_conditional``, or the number of a step.
"""

from ml_collections import ConfigDict

from experiments import default_config
from pixelcnn_jax import InputError

__all__ = ["ConfigDict", "default_config", "step_number"]  # what a config needs


def step_number(step: str, steps: int) -> int:
    """Reads the step of a chain of trainings; raises InputError unless it is one of 1 to ``steps``."""
    if step not in map(str, range(1, steps + 1)):
        raise InputError(f'After the colon, this config takes a step from 1 to {steps}, got "{step}".')
    return int(step)
