"""Loggers of a user's own: called with every record of a run, refused where there is no such function."""

import pytest
from tiny_runs import records, run

from pixelcnn_jax import InputError
from pixelcnn_jax.training.custom_loggers import make_loggers

SEEN = []


def remember(workdir, config):
    """A logger such as a user writes: five lines."""
    SEEN.append((workdir, config["train"]["steps"]))

    def log(step, scalars, pictures):
        SEEN.append(({"step": step, **scalars}, pictures))

    return log


def test_a_logger_is_given_every_record_and_the_samples_of_every_validation(tmp_path):
    SEEN.clear()
    run(tmp_path, train__steps=4, train__loggers=("test_custom_loggers:remember",))
    (workdir, steps), *logged = SEEN
    assert (workdir, steps) == (tmp_path, 4)
    assert [scalars for scalars, _ in logged] == records(tmp_path)
    assert logged[-1][1] == {"samples": tmp_path / "samples_0000004.png"}
    assert [pictures for _, pictures in logged[:-1]] == [{}] * (len(logged) - 1)


def without_network(workdir, config):
    raise ConnectionError("no network")


def forgetful(workdir, config):
    def log(step, scalars, pictures):
        raise KeyError(step)

    return log


def test_a_logger_that_fails_is_named_once_and_dropped(tmp_path, capsys):
    loggers = make_loggers(["test_custom_loggers:without_network", "test_custom_loggers:forgetful"], tmp_path, {})
    for log in 2 * loggers:
        log(1, {}, {})
    told = capsys.readouterr().err.splitlines()
    assert ["no network" in told[0], "forgetful" in told[1], len(told)] == [True, True, 2]


@pytest.mark.parametrize("name", ["nowhere:log", "json", "json:nothing", ":", "json:"])
def test_a_logger_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(InputError, match=rf'config\.train\.loggers.*"{name}"'):
        make_loggers([name], tmp_path, {})
