"""How many samples a classifier, trained on real images, takes for the class that was asked for."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key
from ml_collections import ConfigDict

from experiments import classifier, trained

AT_ONCE = 100  # samples drawn together

DrawOf = Callable[[Key[Array, ""], Int[np.ndarray, " count"]], Array]


def judged(config: ConfigDict, draw_of: DrawOf, classes: int) -> dict[str, Any]:
    """Draws ``config.report_samples`` images, as many of each class, and shows them to ``config.classifier``.

    ``draw_of`` draws an image of each label. Raises InputError for a workdir of no classifier.
    """
    run = trained.restore(config.classifier, "classifier")
    network = classifier.make_network(run.config, run.splits)
    labels = np.arange(classes).repeat(-(-config.report_samples // classes))
    key, right = jax.random.key(config.seed), []
    for i, part in enumerate(np.array_split(labels, -(-len(labels) // AT_ONCE))):
        images = jnp.asarray(draw_of(jax.random.fold_in(key, i), part))
        right.append(np.asarray(classifier.classes_of(network, run.params, images)) == part)
    return {"samples": len(labels), "samples_of_their_class": float(np.mean(np.concatenate(right)))}
