"""Files that are written whole or not at all, and JSON that says when it was damaged since."""

import contextlib
import errno
import json
import os
from unittest.mock import Mock

import pytest

from pixelcnn_jax.foundation.errors import user_message
from pixelcnn_jax.foundation.files import atomic_write, read_json, write_json


@pytest.mark.parametrize("content", ["späte", b"\x00\xff"])
def test_a_file_is_replaced_and_nothing_else_stays(tmp_path, content):
    (tmp_path / "file").write_text("older")
    atomic_write(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch, call):
    (tmp_path / "file").write_text("older")
    monkeypatch.setattr(os, call, Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space") as raised:
        atomic_write(tmp_path / "file", "newer")
    assert user_message(raised.value) == f"{tmp_path / 'file'} cannot be used: No space left on device."
    assert (tmp_path / "file").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_content_is_on_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor):
        synced.append((os.fstat(descriptor).st_size, (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_write(tmp_path / "file", b"12345")
    assert synced == [(5, False)]


def test_a_folder_in_its_place_is_left_as_it_is(tmp_path):
    (tmp_path / "file/inner").mkdir(parents=True)
    with pytest.raises(OSError, match="file"):
        atomic_write(tmp_path / "file", "text")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "inner"]


FACTS = {"seed": 0, "scores": {2: {"nats": 25.75}, 10: {"images": 20}}, "words": ("a", "ä"), "none": None}


def test_json_is_read_as_it_was_written_and_no_bit_can_flip_and_change_a_fact(tmp_path):
    file = tmp_path / "facts.json"
    for facts in (FACTS, FACTS | {"checksum": "of older facts"}):
        write_json(file, facts)
        assert read_json(file).items() >= json.loads(json.dumps(FACTS)).items()
    file.write_text(json.dumps({"a": 1}))  # a person's
    assert read_json(file) == {"a": 1}
    write_json(file, FACTS)
    content, expected = file.read_bytes(), json.loads(json.dumps(FACTS))
    for at in range(8 * len(content)):
        flipped = content[: at // 8] + bytes([content[at // 8] ^ 1 << at % 8]) + content[at // 8 + 1 :]
        file.write_bytes(flipped)
        with contextlib.suppress(ValueError, TypeError):
            assert read_json(file).items() >= expected.items(), flipped
