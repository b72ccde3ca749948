"""The train loop: when it stops by itself, and what it makes up for after a kill."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import assert_same_bits, checkpoints, records, run, tiny, with_experiment, with_loss

from pixelcnn_jax import InputError, load_pretrained
from pixelcnn_jax.training.config import run_keys
from pixelcnn_jax.training.loop import MAX_SKIPPED
from pixelcnn_jax.training.metrics import Stopwatch


def broken(*steps):
    """The recipe, its loss in training infinite at some steps, numbered from 1."""

    of_steps = [jax.random.fold_in(run_keys(tiny()[0]).step, step - 1) for step in steps]
    # Of their one microbatch.
    broken_keys = jnp.stack([jax.random.key_data(jax.random.fold_in(key, 0)) for key in of_steps])

    def change(nats, key):
        if key is None:
            return nats
        found = jnp.any(jnp.all(broken_keys == jax.random.key_data(key)[None], axis=1))
        return jnp.where(found, jnp.inf, 1.0) * nats

    return with_loss(change)


def test_keys_are_functions_of_the_seed():
    one, same, other = (run_keys(tiny(seed=seed)[0]) for seed in (0, 0, 1))
    data = [[jax.random.key_data(key).tolist() for key in each] for each in (one, same, other)]
    assert data[0] == data[1]
    assert len({str(key) for each in (data[0], data[2]) for key in each}) == 10


def test_a_step_without_a_finite_gradient_is_skipped_counted_and_left_out_of_the_means(tmp_path, capsys):
    assert np.isfinite(run(tmp_path, recipe=broken(4, 5, 7, 8, 9))["scores"]["test"]["nats"])
    assert all(np.isfinite(list(record.values())).all() for record in records(tmp_path))
    training = [record for record in records(tmp_path) if "learning_rate" in record]
    assert [record["skipped"] for record in training] == [0, 2, 3, 0]
    assert ["gradient_norm" in record and "train_bits_per_dim" in record for record in training] == [1, 1, 0, 1]
    printed = [line.partition("images/s")[2] for line in capsys.readouterr().out.splitlines() if "images/s" in line]
    assert printed == ["", " 2 skipped", " 3 skipped", ""]
    assert checkpoints(tmp_path) == [10, 12]


def test_nothing_is_checkpointed_while_gradients_are_not_finite(tmp_path):
    run(tmp_path, recipe=broken(7, 8, 9, 10, 11, 12), train__checkpoint_every=1)
    assert checkpoints(tmp_path) == [5, 6]


def test_a_run_that_diverges_stops_and_keeps_no_parameters_without_a_finite_gradient(tmp_path):
    last = 4 + MAX_SKIPPED
    often = {"train__steps": 100, "train__eval_every": 100, "train__checkpoint_every": 1}
    with pytest.raises(InputError, match=r"learning_rate"):
        run(tmp_path, recipe=broken(*range(5, last + 3)), **often)
    # Step 5 is the first that fails: its gradient is taken at the parameters of checkpoint 4, which is then suspect.
    assert checkpoints(tmp_path) == [3]
    assert max((record["step"] for record in records(tmp_path)), default=0) <= last


def test_a_run_that_diverges_does_not_wait_for_a_record_or_a_checkpoint(tmp_path, monkeypatch):
    begun, seldom = [], {"train__log_every": 15, "train__eval_every": 100, "train__checkpoint_every": 100}
    count = Stopwatch.count
    monkeypatch.setattr(Stopwatch, "count", lambda self, measured: begun.append(1) or count(self, measured))
    with pytest.raises(InputError, match="up to 14"):
        run(tmp_path, recipe=broken(*range(5, 15)), train__steps=100, **seldom)
    assert len(begun) <= 4 + MAX_SKIPPED + 2


def test_a_validation_that_is_not_finite_stops_the_run_and_is_not_the_best(tmp_path):
    recipe = with_loss(lambda nats, key: jnp.full_like(nats, jnp.nan) if key is None else nats)
    with pytest.raises(InputError, match=r"step 4.*learning_rate"):
        run(tmp_path, recipe=recipe)
    assert [x.name for x in (*(tmp_path / "checkpoints").iterdir(), *tmp_path.glob("model.json"))] == ["2"]


def test_what_a_killed_process_did_not_come_to_is_made_up_for(copied, whole):
    (copied / "curve.png").unlink()
    shutil.rmtree(copied / "tensorboard")
    log = copied / "metrics.jsonl"
    written = log.read_text()
    log.write_bytes(b"\xff{\n" + b'{"loss": 1}\n[2]\n' + written.encode() + b'{"step": 13, "va')
    run(copied)
    assert_same_bits(copied, whole)
    assert log.read_text() == written
    assert (copied / "curve.png").read_bytes()[1:4] == b"PNG"
    assert any((copied / "tensorboard").iterdir())


def test_a_run_that_resumes_makes_no_fresh_state(copied):
    made = []

    def change(experiment):
        def init(key):
            jax.debug.callback(lambda: made.append(1))
            return experiment.init(key)

        return experiment._replace(init=init)

    run(copied, recipe=with_experiment(change))
    assert made == []


@pytest.mark.parametrize("by_the_first", [False, True])
def test_a_validation_that_was_not_recorded_is_done_again(copied, whole, monkeypatch, by_the_first):
    """By all processes or none: it is for the first to say, as the file that another reads may be older."""
    log = copied / "metrics.jsonl"
    lines = log.read_text().splitlines()
    assert "validation" in lines[-1]
    log.write_text("\n".join(lines[:-1]) + "\n")
    monkeypatch.setattr("pixelcnn_jax.training.loop.run_on_first_process", lambda work: work() or by_the_first)
    run(copied)
    if by_the_first:
        assert len(records(copied)) == len(lines) - 1
    else:
        assert_same_bits(copied, whole)


def test_a_best_model_that_is_lost_after_the_last_step_is_measured_anew(copied, capsys):
    """The best of tiny runs is the last one, so it comes back to the bit."""
    before = load_pretrained(copied)
    (copied / "model.safetensors").write_bytes(b"")
    run(copied)
    assert str(copied) in capsys.readouterr().err
    actual = load_pretrained(copied)
    jax.tree.map(np.testing.assert_array_equal, actual.variables, before.variables)
    assert actual.card["scores"] == before.card["scores"]


def test_a_file_of_output_says_what_is_trained_and_how_far_it_is(tmp_path, capsys):
    run(tmp_path / "new", train__steps=2, train__log_every=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("training on digits")
    assert lines[0].endswith("from step 0 to step 2; compiling first")
    assert [line.split(":")[0] for line in lines if "images/s" in line] == ["step 1", "step 2"]


def test_training_without_any_checkpoint_left_begins_again_and_says_so(copied, whole, capsys):
    shutil.rmtree(copied / "checkpoints")
    run(copied)
    assert "step 0" in capsys.readouterr().err
    assert_same_bits(copied, whole)
