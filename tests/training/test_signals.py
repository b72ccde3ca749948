"""Stopping on request, in this process: tests/test_reliability.py sends signals to a second process."""

import signal

import pytest
from tiny_runs import assert_same_bits, before_call, checkpoints, records, run, tiny, with_experiment

from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.evaluation import make_evaluator
from pixelcnn_jax.training.metrics import Stopwatch
from pixelcnn_jax.training.signals import SIGNALS, Interrupted, StopNow, stop_requests


@pytest.fixture(autouse=True)
def _handlers():
    """The handlers of signals, as they were before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_first_signal_is_a_request_and_a_second_one_is_not_caught(number):
    before = [signal.getsignal(one) for one in SIGNALS]
    with stop_requests() as stop:
        assert not stop.reached(1)
        signal.raise_signal(number)
        assert stop.signal == number
        assert stop.reached(2)
        assert [signal.getsignal(one) for one in SIGNALS] == [signal.SIG_DFL] * 2
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_a_signal_ends_only_work_that_may_be_done_again():
    with stop_requests() as stop:
        signal.raise_signal(signal.SIGTERM)
        score = make_evaluator(lambda _, batch: batch["image"].sum((1, 2, 3)), batch_size=8)
        with pytest.raises(StopNow):
            score({}, tiny()[2].validation, stop.check)


@pytest.mark.parametrize(
    ("owner", "name", "number", "step"),
    [
        (Stopwatch, "count", 5, 5),  # in a step
        (Checkpoints, "save", 6, 12),  # before the last validation
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, whole, owner, name, number, step):
    def send():
        signal.raise_signal(signal.SIGTERM)

    with before_call(owner, name, number, send), pytest.raises(Interrupted) as stopped:
        run(tmp_path)
    assert stopped.value.status == 128 + signal.SIGTERM
    assert len(str(stopped.value).splitlines()) == 1
    assert f"step {step}" in str(stopped.value)
    assert checkpoints(tmp_path)[-1] == step
    assert not (tmp_path / "result.json").exists()
    run(tmp_path)
    assert_same_bits(tmp_path, whole)


@pytest.mark.parametrize(("number", "finished"), [(signal.SIGINT, False), (signal.SIGALRM, True)])
def test_a_validation_is_done_again_if_a_person_stopped_it_and_finished_at_a_limit(tmp_path, whole, number, finished):
    drawn = []

    def stopping(experiment):
        def sample(params, key, source):
            drawn.append(1)
            if len(drawn) == 1:
                signal.raise_signal(number)
            return experiment.sample(params, key, source)

        return experiment._replace(sample=sample)

    with pytest.raises(Interrupted) as stopped:
        run(tmp_path, recipe=with_experiment(stopping), train__seconds=1e3)
    assert stopped.value.status == (0 if finished else 128 + number)
    assert checkpoints(tmp_path)[-1] == 4
    assert finished == any("validation_bits_per_dim" in record for record in records(tmp_path))
    run(tmp_path)
    assert_same_bits(tmp_path, whole)


def test_ctrl_c_is_passed_on_where_jax_listens_for_sigterm(monkeypatch):
    heard = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    monkeypatch.setattr("jax.process_count", lambda: 2)
    with stop_requests() as stop:
        signal.raise_signal(signal.SIGINT)
        stop.check()  # one process alone must not leave a validation
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert heard == [signal.SIGTERM]


def test_a_run_in_slices_of_time_ends_with_the_same_bits(tmp_path, whole):
    with pytest.raises(Interrupted) as stopped:
        run(tmp_path, train__seconds=1e-3)
    assert stopped.value.status == 0
    assert checkpoints(tmp_path)[-1] < 12
    run(tmp_path, train__seconds=1e3)
    assert_same_bits(tmp_path, whole)


def test_a_time_limit_after_a_signal_leaves_its_status():
    with stop_requests(seconds=100.0) as stop:
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.raise_signal(number)
        assert stop.signal == signal.SIGTERM
