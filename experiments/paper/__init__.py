"""The experiments of the paper, and of its predecessor's multi-scale model.

Each module defines the functions of ``pixelcnn_jax.training.experiment.Recipe``. Read ``unconditional.py`` first.
"""
