"""The best model of a run: kept when it is better, whole after kills, named when it is damaged."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import flip_a_bit, tiny, truncate

from pixelcnn_jax import load_pretrained
from pixelcnn_jax.training.best import BestModel


def scored(loss):
    return {"data": "digits", "images": 20, "bits_per_dim": loss}


@pytest.fixture(scope="module")
def made():
    config, recipe, splits = tiny()
    experiment = recipe.make_experiment(config, splits.spec, {})
    return config, experiment, splits, jax.jit(experiment.init)(jax.random.key(0))


@pytest.fixture
def best_of(made):
    config, experiment, splits, _ = made
    return lambda workdir: BestModel(workdir, config, experiment, {}, splits)


def numbered(params, number):
    return jax.tree.map(lambda x: jnp.full_like(x, number), params)


def number_in(workdir):
    """The number that the model's parameters are full of."""
    values = {float(value) for x in jax.tree.leaves(load_pretrained(workdir).variables) for value in np.unique(x)}
    assert len(values) == 1
    return values.pop()


def test_only_a_lower_loss_is_kept(tmp_path, best_of, made):
    for best in (best_of(tmp_path), best_of(None)):
        for step, loss in ((4, 3.0), (8, 2.0), (12, 2.0), (16, 2.5)):
            best.offer(step, scored(loss), numbered(made[3], step))
        assert (best.step, best.loss) == (8, 2.0)
        assert {float(x.flat[0]) for x in jax.tree.leaves(best.params())} == {8}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_a_resumed_run_knows_its_best(tmp_path, best_of, made):
    best_of(tmp_path).offer(4, scored(3.0), numbered(made[3], 4))
    best = best_of(tmp_path)
    best.resume()
    assert (best.step, best.loss) == (4, 3.0)
    assert best.score == load_pretrained(tmp_path).card["scores"]["validation"]
    best.offer(8, scored(3.5), numbered(made[3], 8))
    assert number_in(tmp_path) == 4
    best.offer(12, scored(2.5), numbered(made[3], 12))
    assert number_in(tmp_path) == 12


def test_variables_that_are_fixed_are_in_the_model_and_not_in_the_parameters(tmp_path, made):
    config, experiment, splits, params = made
    best = BestModel(tmp_path, config, experiment, {"quantiser": {"codes": jnp.ones(3)}}, splits)
    best.offer(4, scored(3.0), params)
    assert set(load_pretrained(tmp_path).variables) == {*params, "quantiser"}
    jax.tree.map(np.testing.assert_array_equal, best.params(), params)


def test_every_process_waits_for_the_file(tmp_path, best_of, made, monkeypatch):
    waiting = []
    monkeypatch.setattr("pixelcnn_jax.training.best.run_on_first_process", waiting.append)
    best_of(tmp_path).offer(4, scored(3.0), made[3])
    assert (len(waiting), [*tmp_path.iterdir()]) == (1, [])


def test_the_first_process_knows_the_best_of_all(tmp_path, best_of, made, monkeypatch):
    """The folder of another may still hold an older model."""
    best_of(tmp_path).offer(4, scored(3.0), numbered(made[3], 4))
    newer = numbered(made[3], 8)
    monkeypatch.setattr("pixelcnn_jax.training.best.run_on_first_process", lambda work: [8, scored(2.0)])
    monkeypatch.setattr("pixelcnn_jax.training.best.multihost_utils.broadcast_one_to_all", lambda params: newer)
    best = best_of(tmp_path)
    best.resume()
    assert (best.step, best.loss, best.params()) == (8, 2.0, newer)


def lower_the_score(path):
    path.write_text(path.read_text().replace('"bits_per_dim": 3.0', '"bits_per_dim": 1.0'))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", truncate),
        ("model.safetensors", flip_a_bit),
        ("model.safetensors", Path.unlink),
        ("model.json", truncate),
        ("model.json", lower_the_score),
    ],
)
def test_a_damaged_model_is_named_and_the_next_validation_takes_its_place(
    tmp_path, best_of, made, capsys, name, damage
):
    best_of(tmp_path).offer(4, scored(3.0), numbered(made[3], 4))
    damage(tmp_path / name)
    best = best_of(tmp_path)
    best.resume()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert str(tmp_path) in told[0]
    assert best.step == 0
    best.offer(8, scored(9.0), numbered(made[3], 8))  # worse than what was lost
    assert number_in(tmp_path) == 8
