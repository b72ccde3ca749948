"""The table and the summary at the end of a run."""

import math
from pathlib import Path

import pytest
from tiny_runs import tiny

from pixelcnn_jax.training.baselines import baselines
from pixelcnn_jax.training.summary import summary, table


def result_of(measure="bits_per_dim", **more):
    score = {"data": "digits", "images": 20, measure: 2.0} | ({"nats": 128 * math.log(2)} if not more else {})
    scores = {name: dict(score) for name in ("train", "validation", "test")}
    rest = {"report": {"nats_worth": -69.16755838584614, "images": 12}, "train_seconds": 1.5}
    return {"measure": measure, "scores": scores, "density": "p(x)", **rest} | more


def rows(text):
    """Model, split and figures of each row."""
    return [line.split() for line in text.splitlines()]


def test_a_table_has_a_row_for_each_split_in_both_units():
    config, _, splits = tiny()
    text = table(config, splits, result_of())
    assert [row[-3:] for row in rows(text)[1:4]] == [
        [name, "2.0000", "88.72"] for name in ("train", "validation", "test")
    ]
    assert rows(text)[-2:] == [["nats", "worth", "-69.1676"], ["images", "12"]]


@pytest.mark.parametrize(("unit", "value"), [("bits/dim", 1.5), ("nats", 1.5 * 64 * math.log(2))])
def test_published_figures_stand_above_in_both_units(unit, value):
    config, _, splits = tiny(train__published=(("Somebody 2022", "test", unit, value),))
    assert rows(table(config, splits, result_of()))[1] == ["Somebody", "2022", "test", "1.5000", "66.54"]


def test_baselines_stand_above_this_run():
    config, _, splits = tiny()
    text = table(config, splits, result_of() | {"baselines": baselines(splits)})
    assert rows(text)[1] == ["uniform", "validation", f"{math.log2(17):.4f}", f"{64 * math.log(17):.2f}"]
    assert "uniform" not in table(config, splits, result_of())


def test_a_loss_that_is_no_likelihood_has_its_own_name():
    config, _, splits = tiny()
    text = table(config, splits, result_of("triplet_loss", report={}))
    assert rows(text)[0] == ["model", "split", "triplet", "loss"]
    assert rows(text)[2] == ["this", "run", "validation", "2.0000"]
    assert "bits" not in text


def test_a_summary_has_the_scores_of_validation_and_test():
    config = tiny()[0]
    actual = summary(config, Path("w"), result_of())
    assert (actual["dataset"], actual["split"], actual["images"]) == ("digits", "validation", 20)
    assert (actual["bits_per_dim"], actual["test_bits_per_dim"]) == (2.0, 2.0)
    assert actual["report"] == {"nats_worth": -69.16755838584614, "images": 12}
    without = result_of()
    del without["scores"]["test"]
    assert summary(config, Path("w"), without)["test_bits_per_dim"] is None
