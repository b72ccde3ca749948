"""Files that are written whole or not at all."""

import errno
import os

import pytest

from pixelcnn_jax.files import atomic_write


@pytest.mark.parametrize("content", ["späte", b"\x00\xff"])
def test_a_file_is_replaced_and_nothing_else_stays(tmp_path, content):
    (tmp_path / "file").write_text("older")
    atomic_write(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch, call):
    def full(*inputs):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "file").write_text("older")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space"):
        atomic_write(tmp_path / "file", "newer")
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
