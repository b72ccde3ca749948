"""Small networks of 1601.06759, and their reference, for the tests of laws and of mutations."""

from functools import cache

import jax
import numpy as np
from proofs import random_condition, random_images, randomised
from reference_predecessors import reference_logits

GREY = dict(levels=3, features=8, layers=2, first_kernel_size=3)
COLOUR = dict(levels=2, channels=3, features=13, layers=1, head_features=25, first_kernel_size=3)
# name: (attributes, height and width, size of h, size of s)
VARIANTS = {
    "grey": (GREY, (5, 6), 0, 0),
    "colour": (COLOUR, (3, 4), 0, 0),
    "wide kernels": (GREY | dict(layers=1, kernel_size=5, first_kernel_size=5), (4, 9), 0, 0),
    "h and s": (COLOUR, (3, 2), 2, 3),
    "codes": (dict(levels=5, channels=2, features=12, layers=1, code_features=3), (3, 3), 0, 0),
}


@cache
def build(network, name, batch=1):
    attributes, shape, h, s = VARIANTS[name]
    return build_model(network(**attributes), shape, h, s, batch)


def build_model(model, shape, h=0, s=0, batch=1, scale=0.2):
    condition = random_condition((batch, *shape), h, s)
    variables = model.init(jax.random.key(1), random_images(model, (batch, *shape)), condition.h, condition.s)
    return model, randomised(variables, scale=scale), shape, condition


def matches_the_reference(model, variables, shape, condition):
    image = random_images(model, (1, *shape), key=2)
    given = (None if value is None else np.asarray(value[0]) for value in condition)
    expected = reference_logits(model, variables["params"], np.asarray(image[0]), *given)
    jax.clear_caches()  # for mutations
    actual = model.apply(variables, image, *condition)[0]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
