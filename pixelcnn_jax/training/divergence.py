"""The checks that end a run whose loss or gradient is no longer finite."""

import math

from pixelcnn_jax.errors import InputError

MOST_SKIPPED = 10  # steps in a row without a finite gradient after which a run stops


def check_skipped(skipped: int, step: int) -> None:
    """Raises InputError after ``MOST_SKIPPED`` steps in a row whose gradient was not finite."""
    if skipped >= MOST_SKIPPED:
        raise InputError(
            f"The gradient was not finite in the last {skipped} steps, up to step {step}; the last checkpoint is good. "
            "Lower config.optimizer.learning_rate or config.optimizer.max_grad_norm, or set config.model.dtype=float32."
        )


def check_finite(loss: float, step: int) -> None:
    """Raises InputError for a validation loss that is not finite."""
    if not math.isfinite(loss):
        raise InputError(
            f"The validation loss is not finite at step {step}: lower config.optimizer.learning_rate or "
            "config.optimizer.max_grad_norm, or set config.model.dtype=float32."
        )
