"""A run from beginning to end, and one that is killed anywhere."""

import html
import json
import shutil
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tiny_runs import assert_same_bits, before_call, records, run, tiny, with_experiment

from experiments.next_commands import next_commands
from experiments.paper.unconditional import likelihood_experiment
from pixelcnn_jax import InputError, load_pretrained, log_prob
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.training.best import BestModel
from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.experiment import Recipe
from pixelcnn_jax.training.metrics import Metrics, Stopwatch
from pixelcnn_jax.training.summary import plain_figures
from pixelcnn_jax.zoo.pretrained import read_card


def test_pictures_are_upright_in_any_scan(tmp_path):
    first = jnp.zeros((1, 2, 8, 8, 1), jnp.int32).at[..., 0, 0, :].set(16)  # as scanned backwards
    recipe = with_experiment(lambda experiment: experiment._replace(sample=lambda params, key, source: first))
    run(tmp_path, recipe=recipe, data__scan="backwards", train__steps=2)
    with Image.open(tmp_path / "samples.png") as picture:
        shown = np.asarray(picture.convert("L"))
    rows, columns = np.nonzero(shown == 255)  # the last pixel of each image
    assert rows.min() > len(shown) / 2
    assert columns.max() > len(shown)


def test_scores_are_those_of_all_images_and_of_the_best_parameters(whole):
    result = json.loads((whole / "result.json").read_text())
    model, variables, card = load_pretrained(whole)
    for name, split in tiny()[2]._asdict().items():
        nats = -np.mean(np.asarray(log_prob(model, variables, read_all(split)["image"])), dtype=np.float64)
        score = result["scores"][name]
        assert (score["images"], score["data"]) == (len(split), split.description)
        np.testing.assert_allclose(score["nats"], nats, rtol=1e-5)
        np.testing.assert_allclose(score["bits_per_dim"], nats / 64 / np.log(2), rtol=1e-5)
    assert card["scores"] == result["scores"]
    assert card["step"] == result["best_step"]


def test_the_best_step_is_that_of_the_lowest_validation(whole):
    result = json.loads((whole / "result.json").read_text())
    validations = {record["step"]: record.get("validation_bits_per_dim") for record in records(whole)}
    validations = {step: value for step, value in validations.items() if value is not None}
    assert list(validations) == [4, 8, 12]
    assert result["best_step"] == min(validations, key=validations.get)
    np.testing.assert_allclose(min(validations.values()), result["scores"]["validation"]["bits_per_dim"], rtol=1e-6)


def test_training_is_recorded_at_its_own_pace(whole):
    assert [record["step"] for record in records(whole) if "train_bits_per_dim" in record] == [3, 6, 9, 12]
    rates = [record["learning_rate"] for record in records(whole) if "learning_rate" in record]
    assert rates[0] == pytest.approx(1e-2 * 3 / 5)  # the third step of a warm-up of four
    assert all(record["gradient_norm"] > 0 for record in records(whole) if "learning_rate" in record)
    seconds = [record["seconds"] for record in records(whole)]
    assert seconds == sorted(seconds)
    assert json.loads((whole / "result.json").read_text())["train_seconds"] == seconds[-1]


def test_a_finished_run_is_not_trained_again(whole, monkeypatch):
    monkeypatch.setenv("HOME", str(whole.parent))
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert run(f"~/{whole.name}") == json.loads((whole / "result.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(train__batch_size=12), r"batch_size .*8"),
        (dict(train__microbatch_size=4), r"8 devices times microbatch_size=4"),
    ],
)
def test_batches_that_the_devices_cannot_share_are_refused_and_leave_nothing(tmp_path, changes, named):
    with pytest.raises(InputError, match=named):
        run(tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()


class Killed(BaseException):
    """Ends a run as a kill does: nothing catches it."""


def kill():
    raise Killed


KILLS = {
    "in a step": (Stopwatch, "count", 7),
    "before a record": (Metrics, "write", 4),
    "before a checkpoint": (Checkpoints, "save", 4),
    "before the best is kept": (BestModel, "offer", 2),
    "before the last picture": (BestModel, "params", 1),
    "before the result": (BestModel, "complete", 1),
}


@pytest.mark.parametrize(("owner", "name", "call"), KILLS.values(), ids=KILLS)
def test_a_run_that_is_killed_anywhere_ends_with_the_same_bits(tmp_path, whole, owner, name, call):
    with before_call(owner, name, call, kill), pytest.raises(Killed):
        run(tmp_path)
    assert not (tmp_path / "result.json").exists()
    run(tmp_path)
    assert_same_bits(tmp_path, whole)
    scores = [json.loads((workdir / "result.json").read_text())["scores"] for workdir in (tmp_path, whole)]
    assert scores[0] == scores[1]


def test_what_is_prepared_reaches_the_experiment_the_report_and_the_model(tmp_path):
    seen = {}
    ordinary = tiny()[1]

    def make_experiment(config, spec, prepared):
        seen["experiment"] = prepared
        experiment = ordinary.make_experiment(config, spec, {})
        return experiment._replace(
            sample=lambda params, key, source: seen.update(source=source) or experiment.sample(params, key, None)
        )

    def report(config, experiment, splits, params):
        seen["report"] = params
        return {"figure": 1.5}

    recipe = Recipe(
        make_experiment=make_experiment,
        prepare=lambda config, splits: {"quantiser": {"codes": np.arange(3, dtype=np.float32)}},
        picture_source=lambda config, splits: "source",
        report=report,
    )
    result = run(tmp_path, recipe=recipe, train__steps=2)
    for prepared in (seen["experiment"], seen["report"], load_pretrained(tmp_path).variables):
        np.testing.assert_array_equal(prepared["quantiser"]["codes"], [0, 1, 2])
    assert seen["source"] == "source"
    assert result["report"] == {"figure": 1.5}
    with pytest.raises(TypeError, match="params"):
        run(tmp_path / "same", recipe=recipe._replace(prepare=lambda *_: {"params": {"x": np.zeros(1)}}))


def test_figures_of_any_kind_are_plain_numbers_in_the_result(tmp_path):
    kinds = {
        "a": np.float32(0.5),
        "b": np.bool_(True),
        "c": jnp.ones(2, jnp.bfloat16),
        4: np.int64(2),
        "e": {np.int64(5): 1j},
    }
    recipe = tiny()[1]._replace(report=lambda *_: kinds | {"nan": jnp.float32(jnp.nan), "inf": -np.inf})
    expected = {"a": 0.5, "b": True, "c": [1.0, 1.0], "4": 2, "e": {"5": "1j"}, "nan": None, "inf": None}
    assert run(tmp_path, recipe=recipe, train__steps=1)["report"] == expected
    assert json.loads((tmp_path / "result.json").read_text())["report"] == expected
    assert plain_figures(None) == {}


def test_a_run_starts_from_the_model_that_its_config_names_and_resumes_without_it(tmp_path, whole):
    workdir, model = tmp_path / "run", shutil.copytree(whole, tmp_path / "model")
    changes = dict(train__start_from=str(model), train__steps=1, optimizer__learning_rate=1e-30)  # changes no bit
    with before_call(BestModel, "complete", 1, kill), pytest.raises(Killed):
        run(workdir, **changes)
    shutil.rmtree(model)
    run(workdir, recipe=tiny()[1]._replace(check=lambda *_: pytest.fail("checked before")), **changes)
    actual, expected = (load_pretrained(workdir).variables for workdir in (workdir, whole))
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


class OwnNetwork(nn.Module):
    """A network as a user writes one: it knows nothing of this package, and its call takes images alone."""

    levels: int
    channels: int
    width: int = 5
    activation: Any = nn.relu

    @nn.compact
    def __call__(self, images):
        divisor = self.variable("constants", "divisor", lambda: jnp.full((1,) * 4, 17.0)).value
        left = jnp.pad(images, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1] / divisor
        hidden = self.activation(nn.Dense(self.width)(left))
        return nn.Dense(self.channels * self.levels)(hidden).reshape(*images.shape, self.levels)


def test_a_network_of_ones_own_is_trained_resumed_scored_and_reported_by_its_name(tmp_path, capsys):
    def make_experiment(config, spec, prepared):
        return likelihood_experiment(OwnNetwork(spec.levels, spec.channels), config, spec)

    with before_call(BestModel, "params", 1, kill), pytest.raises(Killed):
        run(tmp_path, recipe=Recipe(make_experiment), train__steps=4)
    result = run(tmp_path, recipe=Recipe(make_experiment), train__steps=4)
    assert "damaged" not in capsys.readouterr().err
    assert np.isfinite(result["scores"]["test"]["nats"])
    assert read_card(tmp_path)["networks"] == {"class": "OwnNetwork", "levels": 17, "channels": 1, "width": 5}
    assert "width 5)<" in html.unescape((tmp_path / "report.html").read_text())
    assert (load_pretrained(tmp_path, model=OwnNetwork(17, 1)).variables["constants"]["divisor"] == 17).all()
    loaded = f'load_pretrained("{tmp_path}", model=OwnNetwork(levels=17, channels=1, width=5))'
    assert any(loaded in line for line in next_commands(tmp_path))


def test_a_loss_that_is_no_likelihood_is_scored_in_its_own_measure(tmp_path):
    def change(experiment):
        def loss(params, batch, key):
            return jnp.mean(experiment.loss(params, batch, key)) * jnp.ones(len(batch["image"])) / 100

        return experiment._replace(loss=loss, measure="triplet_loss")

    result = run(tmp_path, recipe=with_experiment(change), train__steps=2)
    assert result["measure"] == "triplet_loss"
    assert set(result["scores"]["test"]) == {"data", "images", "triplet_loss"}
    assert load_pretrained(tmp_path).card["measure"] == "triplet_loss"
    assert any("validation_triplet_loss" in record for record in records(tmp_path))


def test_part_of_the_splits_can_be_scored_and_a_mistake_does_not_claim_the_workdir(tmp_path):
    result = run(tmp_path, train__steps=1, train__score_train_images=5, data__test_split="")
    assert {name: score["images"] for name, score in result["scores"].items()} == {"train": 5, "validation": 20}
    with pytest.raises(InputError, match="digitz"):
        run(tmp_path / "new", train__start_from="digitz", train__steps=1)
    assert not (tmp_path / "new").exists()
