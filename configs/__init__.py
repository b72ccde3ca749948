"""One file per run. ``python -m experiments.train --config=configs/NAME.py --help`` lists all fields.

What follows a colon, as in ``--config=configs/imagenet32.py:class_conditional``, is passed to ``get_config``: an
experiment, a size or the number of a step, depending on the file. In the docstrings, *Paper row* is the published
figure to compare with, *Bayes accuracy* is the fraction of test images whose own class has the highest p(image |
class), and *class accuracy* is the fraction of samples that a classifier recognises as their class.
"""

from ml_collections import ConfigDict

from experiments import default_config, step_number

__all__ = ["ConfigDict", "default_config", "step_number"]  # what a config needs
