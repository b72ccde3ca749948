"""One file per run. ``python -m experiments.train --config=configs/NAME.py --help`` lists all fields.

``get_config`` may take an experiment: ``--config=configs/imagenet32.py:class_conditional``.
"""
