"""Ablations: the variants and their parameter counts."""

import jax
import numpy as np
import pytest
from proofs import random_images

from configs import digits_ablations
from experiments.paper import ablations
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.config import parse_config


@pytest.mark.parametrize("name", ablations.VARIANTS)
def test_variants_have_equal_parameter_counts(name):
    config, spec = parse_config(digits_ablations.get_config(), ablations.Config), ImageSpec(8, 8, 3, levels=17)
    whole, part = (ablations.variant(config, of, spec) for of in ("whole", name))
    assert whole.features == 32
    made = jax.eval_shape(part.init, jax.random.key(0), random_images(part, (1, 2, 2)))
    assert ablations.count(part) == sum(x.size for x in jax.tree.leaves(made))
    np.testing.assert_allclose(ablations.count(part), ablations.count(whole), rtol=0.05)
