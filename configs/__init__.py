"""One file per run. ``python -m experiments.train --config=configs/NAME.py --help`` lists all fields.

Where ``get_config`` takes an experiment, its name may follow: ``--config=configs/imagenet32.py:class_conditional``.
"""
