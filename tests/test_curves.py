"""Curves of several runs: read from logs, compared at the level of the last, drawn."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import curves


def log(path, points, measure="bits_per_dim"):
    lines = [{"step": 10, f"train_{measure}": 9.0, "seconds": 1.0}]
    lines += [{"step": step, f"validation_{measure}": value, "seconds": 60.0 * step} for step, value in points]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_time_to_the_last_runs_best_lies_between_two_validations(tmp_path, capsys):
    fast = log(tmp_path / "fast.jsonl", [(1, 3.0), (2, 1.0), (3, 0.5)])
    (tmp_path / "run").mkdir()
    log(tmp_path / "run/metrics.jsonl", [(1, 4.0), (5, 2.0), (6, 2.5)])
    with fast.open("a") as file:
        file.write('{"step": 4, "valid')  # torn off, by a kill
    worst = log(tmp_path / "worst.jsonl", [(1, 4.0), (9, 3.0)])
    output = tmp_path / "curves.png"
    curves.main([f"--output={output}", f"fast={fast}", f"worst={worst}", f"slow={tmp_path / 'run'}"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["runs"]
    assert found["fast"] == {"best": 0.5, "minutes_to_the_last": 1.5}
    assert found["slow"] == {"best": 2.0, "minutes_to_the_last": 5.0}
    assert found["worst"]["minutes_to_the_last"] is None
    assert len(np.unique(np.asarray(Image.open(output)))) > 10


def test_weights_have_their_log(tmp_path, capsys):
    curves.main([f"--output={tmp_path / 'a.png'}", "--by=step", "digits=digits"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["runs"]["digits"]["best"] < 2


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [("a.jsonl", "{", "is no log"), ("a.jsonl", '{"step": 1}', "is no log"), ("b", "", "is no workdir")],
)
def test_what_is_no_log_is_refused(tmp_path, name, content, told):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(SystemExit, match=told):
        curves.main([f"--output={tmp_path / 'a.png'}", f"x={tmp_path / name}"])


def test_what_has_no_axis_in_common_is_refused(tmp_path):
    bits, other = log(tmp_path / "a.jsonl", [(1, 2.0)]), log(tmp_path / "b.jsonl", [(1, 2.0)], "squared_error")
    with pytest.raises(SystemExit, match="no axis in common"):
        curves.main([f"--output={tmp_path / 'c.png'}", f"a={bits}", f"b={other}"])
    with pytest.raises(SystemExit, match="a label of its own"):
        curves.main([f"--output={tmp_path / 'c.png'}", f"a={bits}", f"a={bits}"])
    with pytest.raises(SystemExit, match="--top must be a finite number"):
        curves.main([f"--output={tmp_path / 'c.png'}", "--top=nan", f"a={bits}"])
    curves.main([f"--output={tmp_path / 'c.png'}", f"$x_$={bits}", "--title=a$b_$c"])  # no mathematics
    with pytest.raises(SystemExit, match="LABEL=RUN"):
        curves.main([f"--output={tmp_path / 'd.png'}", str(bits)])
