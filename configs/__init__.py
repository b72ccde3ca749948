"""One file per run. ``python -m experiments.train --config=configs/NAME.py --help`` lists all fields.

``get_config`` may take an experiment, ``--config=configs/imagenet32.py:class_conditional``, a size or the number of a
step.
"""

from ml_collections import ConfigDict

from experiments import default_config, step_number

__all__ = ["ConfigDict", "default_config", "step_number"]  # what a config needs
