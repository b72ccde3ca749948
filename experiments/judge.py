"""How many samples a classifier, trained on real images, takes for the class that was asked for."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key
from ml_collections import ConfigDict

from experiments import classifier, trained
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.training.loop import Splits

AT_ONCE = 100  # samples drawn together

DrawOf = Callable[[Key[Array, ""], Int[np.ndarray, " count"]], Array]


def make_judge(config: ConfigDict, splits: Splits) -> Callable[[DrawOf], dict[str, Any]]:
    """``draw_of -> figures``: draws ``config.report_samples`` images, as many of each class, and has them judged.

    ``draw_of`` draws an image of each label; without ``config.classifier`` there are no figures.
    Raises InputError for a workdir of no classifier, or one of other images or classes.
    """
    if not config.classifier or not len(splits.train):
        return lambda draw_of: {}
    run = trained.restore(config.classifier, "classifier")
    for name in ("shape", "levels", "classes"):
        theirs, mine = getattr(run.splits.train, name), getattr(splits.train, name)
        if theirs != mine:
            raise InputError(f"{config.classifier} judges images of {name} {theirs}, but those here are of {mine}.")
    network = classifier.make_network(run.config, run.splits)
    classes = run.splits.train.classes or 0

    def judged(draw_of: DrawOf) -> dict[str, Any]:
        labels = np.arange(classes).repeat(-(-config.report_samples // classes))
        key, right = jax.random.key(config.seed), []
        for i, part in enumerate(np.array_split(labels, -(-len(labels) // AT_ONCE))):
            images = jnp.asarray(draw_of(jax.random.fold_in(key, i), part))
            right.append(np.asarray(classifier.classes_of(network, run.params, images)) == part)
        return {"samples": len(labels), "samples_of_their_class": float(np.mean(np.concatenate(right)))}

    return judged
