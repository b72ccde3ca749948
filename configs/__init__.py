"""One file per run. ``python -m experiments.train --config=configs/NAME.py --help`` lists all fields.

Where ``get_config`` takes an experiment, another can be named: ``--config=configs/imagenet32.py:class_conditional``.
"""
