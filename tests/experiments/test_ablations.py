"""A study of ablations: its variants, its runs and its table."""

import dataclasses

import jax
import numpy as np
import pytest
from proofs import random_images
from tiny import tiny_config, tiny_splits

from configs import digits_ablations
from experiments.paper import ablations
from pixelcnn_jax import InputError
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.config import resolve
from pixelcnn_jax.training.experiment import Experiment, Recipe
from pixelcnn_jax.training.run import train


def test_a_study_is_a_run_for_each_variant_and_seed(tmp_path, capsys):
    config = tiny_config("ablations", {"own.variants": ("whole", "one stack"), "own.seeds": 2})
    runs = ablations.runs(config)
    assert list(runs) == ["whole_0", "whole_1", "one_stack_0", "one_stack_1"]
    assert [run.seed for run in runs.values()] == [0, 1, 0, 1]
    splits = tiny_splits(config)
    results = {name: train(run, Recipe.of(ablations), splits, tmp_path / name) for name, run in runs.items()}
    found = ablations.compare(config, splits.spec, results)
    scores = [results[name]["scores"]["validation"] for name in runs]
    part = found["variants"]["one stack"]
    assert part["each"] == [score["bits_per_dim"] for score in scores[2:]]
    nats = [score["nats"] for score in scores]
    np.testing.assert_allclose(part["nats_beyond_the_whole"], np.mean(nats[2:]) - np.mean(nats[:2]))
    np.testing.assert_allclose(part["spread"], np.std(part["each"], ddof=1))
    assert part["spread"] > 0
    progress = ("training", "step", "scoring")
    table = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(progress)]
    assert len(table) == 3


@pytest.mark.parametrize("name", ablations.VARIANTS)
def test_variants_have_equal_parameter_counts(name):
    config, spec = resolve(digits_ablations.get_config(), ablations.Config), ImageSpec(8, 8, 3, levels=17)
    whole, part = (ablations.variant(config, of, spec) for of in ("whole", name))
    assert whole.features == 32
    made = jax.eval_shape(part.init, jax.random.key(0), random_images(part, (1, 2, 2)))
    assert ablations.count(part) == sum(x.size for x in jax.tree.leaves(made))
    np.testing.assert_allclose(ablations.count(part), ablations.count(whole), rtol=0.05)


def test_another_order_is_the_same_network_with_other_colours():
    order, images = (2, 0, 1), jax.random.randint(jax.random.key(0), (2, 1, 4, 5, 3), 0, 9)
    plain = Experiment(lambda key: {}, lambda params, batch, training: batch["image"], lambda *_: images, None)
    turned = ablations.reordered(plain, order)
    seen = turned.loss({}, {"image": images}, None)
    np.testing.assert_array_equal(seen, images[..., np.array(order)])
    np.testing.assert_array_equal(turned.sample({}, jax.random.key(0), None)[..., np.array(order)], images)


@pytest.mark.parametrize("variants", [("relu",), ("whole", "nothing")])
def test_a_study_begins_with_the_whole_network_and_knows_its_variants(variants):
    with pytest.raises(InputError, match=r"config\.ablations\.variants"):
        ablations.runs(tiny_config("ablations", {"own.variants": variants}))


def test_a_study_is_of_one_network():
    with pytest.raises(InputError, match=r"config\.model\.network"):
        ablations.runs(tiny_config("ablations", {"model.network": "RowLSTM"}))


def test_a_run_of_a_study_can_be_run_alone():
    config = tiny_config("ablations", {"own.variants": ("whole", "relu"), "own.seeds": 1})
    run = ablations.runs(config)["relu_0"]
    assert dataclasses.replace(run, own=config.own) == config
    experiment = ablations.make_experiment(run, ImageSpec(8, 8, 1, levels=17))
    assert not experiment.networks.gated
