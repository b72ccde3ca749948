"""Laws of every experiment: two steps of training, its card, its picture and its report."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import NEEDS, settings_of, tiny_splits

from experiments import EXPERIMENTS, recipe_of
from pixelcnn_jax import load_pretrained
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.training.metrics import read_records


@pytest.fixture(scope="module", params=EXPERIMENTS)
def run(request, workdirs):
    name, workdir = request.param, workdirs(request.param)
    config = settings_of(name, {field: str(workdirs(other)) for field, other in NEEDS.get(name, {}).items()})
    recipe, splits = recipe_of(name), tiny_splits(config)
    model, variables, card = load_pretrained(workdir)
    prepared = {key: variables[key] for key in variables.keys() & {"tokenizer", "embedder"}}
    params = {key: x for key, x in variables.items() if key not in prepared}
    experiment = recipe.make_experiment(config, splits.spec, prepared)
    return config, recipe, splits, experiment, model, params, card, workdir


def test_its_workdir_is_its_model(run):
    _, _, splits, experiment, model, _, card, workdir = run
    assert model == experiment.networks
    assert card["image_spec"] == splits.spec
    scores = json.loads((workdir / "result.json").read_text())["scores"]
    assert [scores[split]["images"] for split in ("train", "validation", "test")] == [64, 64, 64]


def test_its_loss_is_finite_and_per_image(run):
    _, _, splits, experiment, _, params, _, workdir = run
    batch = {name: jnp.asarray(x[:16]) for name, x in read_all(splits.train).items()}
    for key in (None, jax.random.key(0)):
        assert jax.eval_shape(experiment.loss, params, batch, key).shape == (16,)
    recorded = {name for record in read_records(workdir / "metrics.jsonl") for name in record}  # finite values only
    assert {f"train_{experiment.measure}", f"validation_{experiment.measure}"} <= recorded


def test_its_picture_is_a_grid_of_images(run):
    config, recipe, splits, experiment, _, params, _, _ = run
    images = np.asarray(experiment.sample(params, jax.random.key(1), recipe.picture_source(config, splits)))
    assert images.shape[1:] == (4, *splits.spec.shape)
    assert images.dtype == np.int32
    assert images.min() >= 0
    assert images.max() < 17
    assert len(np.unique(images)) > 4


def test_its_report_is_of_finite_figures(run):
    config, _, _, _, _, _, card, _ = run
    figures = [value for value in card["report"].values() if not isinstance(value, bool)]
    assert all(math.isfinite(value) for value in figures)
    if config.experiment == "multiscale":
        both = card["report"]["nats_of_the_small_image"] + card["report"]["nats_of_the_rest"]
        np.testing.assert_allclose(both, card["scores"]["test"]["nats"], rtol=1e-5)
    assert bool(figures) == (config.experiment not in ("unconditional", "ablations", "codes", "colourise"))


def test_its_cost_is_known_before_anything_is_prepared():
    config = settings_of("embedding_conditional")
    splits = tiny_splits(config)
    experiment = recipe_of(config.experiment).make_experiment(config, splits.spec)
    batch = {name: jnp.asarray(x[:2]) for name, x in read_all(splits.train).items()}
    shape = jax.eval_shape(lambda key: experiment.loss(experiment.init(key), batch, None), jax.random.key(0))
    assert shape.shape == (2,)
