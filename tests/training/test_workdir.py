"""The folder of a run: whose it is, who uses it, and files in it that are damaged."""

import contextlib
import errno
import fcntl
import json
from unittest.mock import Mock

import numpy as np
import pytest
from tiny_runs import assert_same_bits, before_call, run, tiny

from pixelcnn_jax import InputError
from pixelcnn_jax.foundation.files import read_json, write_json
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training import workdir as workdir_module
from pixelcnn_jax.training.workdir import finished_result, locked, open_workdir, prepare_once

SPEC = ImageSpec(8, 8, 1, 17)


def claimed(workdir, splits=None, command=None, **changes):
    config, _, loaded = tiny(**changes)
    with open_workdir(workdir, config, splits or loaded, command=command):
        pass


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, r"seed was 0 and is now 1"),
        ({"train__steps": 13, "train__batch_size": 32}, r"batch_size was 16 and is now 32"),
        ({"unconditional__augment": 0.5}, r"augment was 0\.0 and is now 0\.5"),
    ],
)
def test_a_workdir_of_another_config_is_refused_by_its_first_field_that_differs(tmp_path, changes, named):
    claimed(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(InputError, match=named):
        claimed(tmp_path, **changes)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_workdir_whose_data_has_changed_is_refused(tmp_path):
    scan = {"data__scan": "columns"}
    claimed(tmp_path, **scan)
    splits = tiny(**scan)[2]
    with pytest.raises(InputError, match=r"images\.counts\.validation was 20 and is now 9"):
        claimed(tmp_path, splits=splits._replace(validation=splits.validation.subset(9)), **scan)
    turned = splits.validation.take(np.arange(20)[::-1], "turned")
    for changed in turned, splits.validation.with_arrays(label=np.ones(20)):
        with pytest.raises(InputError, match=r"images\.sha256\.validation was"):
            claimed(tmp_path, splits=splits._replace(validation=changed), **scan)


@pytest.mark.parametrize(
    "changes", [{"data__download": True}, {"train__loggers": ("os:getcwd",)}, {"data__data_dir": "elsewhere"}]
)
def test_fields_that_change_no_result_may_differ(tmp_path, changes):
    claimed(tmp_path)
    claimed(tmp_path, **changes)


def test_the_command_that_began_the_run_is_kept(tmp_path):
    claimed(tmp_path, command="train --workdir='a b'")
    claimed(tmp_path, command="train --workdir='./a b'")
    assert read_json(tmp_path / "config.json")["command"] == "train --workdir='a b'"


def test_a_run_with_a_constant_schedule_is_made_longer(tmp_path):
    constant = dict(optimizer__schedule="constant", train__log_every=4)
    run(tmp_path / "longer", train__steps=8, **constant)
    before = json.loads((tmp_path / "longer/result.json").read_text())
    for workdir in ("longer", "whole"):
        result = run(tmp_path / workdir, train__steps=12, **constant)
        assert (before["steps"], result["steps"]) == (8, 12)
    assert_same_bits(tmp_path / "longer", tmp_path / "whole", **constant)
    with pytest.raises(InputError, match=r"steps was 12 and is now 8"):
        run(tmp_path / "longer", train__steps=8, **constant)


def test_a_run_whose_learning_rate_has_ended_is_not_made_longer(whole):
    with pytest.raises(InputError, match=rf"steps.*start from {whole}"):
        run(whole, train__steps=13)


@pytest.mark.parametrize("name", ["metrics.jsonl", "result.json"])
def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path, name):
    (tmp_path / name).write_text('{"steps": 12}')
    with pytest.raises(InputError, match=rf"{tmp_path} cannot be used.*config\.json"):
        claimed(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == '{"steps": 12}'


def test_a_claim_that_was_killed_while_it_was_written_is_made_again(tmp_path):
    (tmp_path / "config.json.part").write_text("{")
    (tmp_path / "lock").touch()
    claimed(tmp_path)
    claimed(tmp_path)


def test_a_field_that_an_older_version_did_not_write_is_its_default(tmp_path):
    claimed(tmp_path)
    stored = read_json(tmp_path / "config.json")
    del stored["config"]["model"]["linear_prediction"]
    write_json(tmp_path / "config.json", stored)
    claimed(tmp_path)
    with pytest.raises(InputError, match=r"linear_prediction was False and is now True"):
        claimed(tmp_path, model__linear_prediction=True, model__mixture=2)
    stored["config"]["model"] |= {"linear_prediction": False, "removed": 3}
    write_json(tmp_path / "config.json", stored)
    with pytest.raises(InputError, match=r"removed was 3"):
        claimed(tmp_path)


def test_of_two_runs_that_begin_at_once_one_trains_by_its_own_config(tmp_path):
    begun, (_, _, splits) = [], tiny()

    def begin(seed):
        with contextlib.suppress(InputError):
            held.enter_context(open_workdir(tmp_path, tiny(seed=seed)[0], splits))
            begun.append(seed)

    with contextlib.ExitStack() as held, before_call(workdir_module, "write_json", 1, lambda: begin(1)):
        begin(0)
    assert begun == [read_json(tmp_path / "config.json")["config"]["seed"]]


@pytest.mark.parametrize(
    "damage", [lambda text: text[:100], lambda text: "[" * 100_000, lambda text: text.replace('"seed": 0', '"seed": 1')]
)
def test_a_damaged_config_is_named_and_left_as_it_is(tmp_path, damage):
    claimed(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(damage(file.read_text()))
    before = file.read_text()
    with pytest.raises(InputError, match=rf"{file} is damaged"):
        claimed(tmp_path)
    assert file.read_text() == before


def test_two_processes_do_not_share_a_workdir_nor_make_its_run_longer(tmp_path):
    config, _, splits = tiny(optimizer__schedule="constant")
    longer = tiny(optimizer__schedule="constant", train__steps=2 * config.train.steps)[0]
    with open_workdir(tmp_path, config, splits):
        before = (tmp_path / "config.json").read_bytes()
        for other in (config, longer):
            refused = pytest.raises(InputError, match=f"Another process .*{tmp_path}")
            with refused, open_workdir(tmp_path, other, splits):
                pass
        assert (tmp_path / "config.json").read_bytes() == before
    with open_workdir(tmp_path, config, splits):  # the lock went with its holder
        pass


def test_a_file_system_without_locks_is_no_hindrance(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=OSError(errno.ENOLCK, "No locks available")))
    with locked(tmp_path):
        pass


def test_a_finished_run_is_read_where_nothing_can_be_written(whole, tmp_path, monkeypatch):
    denied = Mock(side_effect=OSError(errno.EROFS, "Read-only file system"))
    expected = json.loads((whole / "result.json").read_text())
    monkeypatch.setattr("pixelcnn_jax.foundation.files.os.fsync", denied)
    monkeypatch.setattr(fcntl, "flock", denied)
    assert run(whole) == expected


def test_a_result_is_read_as_it_was_written_and_holds_numbers_only(tmp_path):
    config = tiny()[0]
    result = {"steps": config.train.steps, "scores": {"test": {"nats": 1.5}}}
    assert finished_result(tmp_path, config) is None
    write_json(tmp_path / "result.json", result)
    assert finished_result(tmp_path, config).items() >= result.items()
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "result.json", result | {"report": {"x": float("nan")}})
    assert finished_result(tmp_path, config).items() >= result.items()


def test_a_damaged_result_is_named_and_written_again(copied, whole, capsys):
    expected = (whole / "result.json").read_text()
    (copied / "result.json").write_text(expected.replace("digits", "data"))
    run(copied)
    assert f"Replacing the damaged {copied / 'result.json'}" in capsys.readouterr().err
    assert json.loads((copied / "result.json").read_text())["scores"] == json.loads(expected)["scores"]


def test_what_is_prepared_is_computed_once_and_then_read(tmp_path):
    variables = {"quantiser": {"codes": np.arange(6, dtype=np.float32).reshape(2, 3)}, "b": {"c": {"d": np.ones(1)}}}
    prepare = Mock(return_value=variables)
    for _ in range(2):
        actual = prepare_once(tmp_path, SPEC, prepare)
        np.testing.assert_array_equal(actual["quantiser"]["codes"], variables["quantiser"]["codes"])
        np.testing.assert_array_equal(actual["b"]["c"]["d"], variables["b"]["c"]["d"])
    prepare.assert_called_once_with()


@pytest.mark.parametrize("content", [b"", b"\xff" * 20])
def test_damaged_prepared_variables_are_named(tmp_path, content):
    prepare_once(tmp_path, SPEC, lambda: {"codes": np.ones(1)})
    (tmp_path / "prepared.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"prepared\.safetensors"):
        prepare_once(tmp_path, SPEC, dict)
