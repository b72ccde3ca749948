"""Experiments beyond the paper: its future work, and what users ask for.

Each module defines the functions of ``pixelcnn_jax.training.experiment.Recipe``; ``ising.py`` is a command, since it
has no data. Read ``colourise.py`` first.
"""
