"""Loggers of a user's own: called with every record of a run, refused where there is no such function."""

import json

import pytest
from tiny_runs import records, run

from pixelcnn_jax import InputError
from pixelcnn_jax.training.loggers import make_loggers

SEEN = []


def remember(workdir, config):
    """A logger such as a user writes: five lines."""
    SEEN.append((workdir, config["train"]["steps"]))

    def log(step, scalars, pictures):
        SEEN.append(({"step": step, **scalars}, pictures))

    return log


def test_a_logger_is_given_every_record_and_the_samples_of_every_validation(tmp_path):
    SEEN.clear()
    run(tmp_path, train__steps=4, train__loggers=("test_loggers:remember",))
    (workdir, steps), *logged = SEEN
    assert (workdir, steps) == (tmp_path, 4)
    assert [scalars for scalars, _ in logged] == records(tmp_path)
    assert logged[-1][1] == {"samples": tmp_path / "samples_0000004.png"}
    assert [pictures for _, pictures in logged[:-1]] == [{}] * (len(logged) - 1)


def test_a_workdir_does_not_belong_to_its_loggers(copied):
    run(copied, train__loggers=("test_loggers:remember",))
    assert json.loads((copied / "result.json").read_text())["steps"] == 12


@pytest.mark.parametrize("name", ["nowhere:log", "json", "json:nothing", ":", "json:"])
def test_a_logger_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(InputError, match=rf'config\.train\.loggers.*"{name}"'):
        make_loggers([name], tmp_path, {})
