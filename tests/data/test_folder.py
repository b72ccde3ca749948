from unittest.mock import Mock

import numpy as np
import PIL.Image
import pytest
from image_helpers import images_of, pillow, ramp, save

from pixelcnn_jax.data import folder as module
from pixelcnn_jax.data import loading
from pixelcnn_jax.data.loading import DataConfig, load, load_splits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec


def test_splits_and_classes_are_folders(tmp_path):
    for i, path in enumerate(["train/b/2.png", "train/b/1.PNG", "train/c/1.png", "test/a/1.png"]):
        save(pillow(ramp(4)[i]), tmp_path, path)
    (tmp_path / "train" / "b" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "b" / "._1.png").write_text("what another system leaves behind")
    train = load("folder", "train", data_dir=tmp_path, labels=True)
    assert train.spec == ImageSpec(4, 6, 1, 256, 3, None, ("a", "b", "c"))
    assert train.description == f"{tmp_path.name} train"
    assert np.array_equal(images_of(train), ramp(4)[[1, 0, 2]])
    assert train.labels().tolist() == [1, 1, 2]  # a, which only test has, is 0
    assert load("folder", "test", data_dir=tmp_path, labels=True).labels().tolist() == [0]
    assert np.array_equal(images_of(load("folder", "train[1:]", data_dir=tmp_path)), ramp(4)[[0, 2]])
    whole = load("folder", "all", data_dir=tmp_path, labels=True)
    assert whole.labels().tolist() == [0, 1, 1, 2]  # not of train and test
    some = load("folder", "train where label is c", data_dir=tmp_path, labels=True)
    assert some.labels().tolist() == [2]
    assert np.array_equal(images_of(some), ramp(4)[[2]])
    for old, new in (("train", "Training"), ("test", "dev")):
        (tmp_path / old).rename(tmp_path / new)
        assert load("folder", "all", data_dir=tmp_path, labels=True).labels().tolist() == [1, 1, 2, 0]


def test_a_folder_of_classes_without_splits(tmp_path):
    for i, path in enumerate(["dog/1.png", "cat/x/1.png", "cat/1.png"]):
        save(pillow(ramp(3)[i]), tmp_path, path)
    dataset = load("folder", "all", data_dir=tmp_path, labels=True)
    assert (dataset.spec.class_names, dataset.labels().tolist()) == (("cat", "dog"), [0, 0, 1])
    with pytest.raises(InputError, match=r"it has all, and parts such as all\[:90%\]"):
        load("folder", "train[:90%]", data_dir=tmp_path, labels=True)


def test_a_part_of_a_folder_has_its_share_of_each_class(tmp_path):
    for i in range(30):
        save(pillow(ramp(30)[i]), tmp_path, f"train/{'cat' if i < 20 else 'dog'}/{i:02}.png")
    parts = [load("folder", f"train[{part}]", data_dir=tmp_path, labels=True) for part in (":80%", "80%:")]
    assert [part.labels().tolist() for part in parts] == [[0] * 16 + [1] * 8, [0] * 4 + [1] * 2]
    assert np.array_equal(np.unique(np.concatenate([*map(images_of, parts)]), axis=0), np.unique(ramp(30), axis=0))
    assert np.array_equal(images_of(load("folder", "train[80%:]", data_dir=tmp_path)), images_of(parts[1]))
    assert np.array_equal(images_of(load("folder", "train where label is dog[:3]", data_dir=tmp_path)), ramp(30)[20:23])


def test_colour_in_one_split_is_colour_in_all(tmp_path):
    save(pillow(ramp(1, channels=3)[0]), tmp_path, "train/1.png")
    save(pillow(ramp(1)[0]), tmp_path, "test/1.png")
    shapes = [load("folder", split, data_dir=tmp_path).spec.shape for split in ("train", "test")]
    assert shapes == [(4, 6, 3)] * 2


def test_classes_that_are_named_by_numbers_are_in_their_order(tmp_path):
    for name in ("10", "9"):
        save(pillow(ramp(1)[0]), tmp_path, name, "1.png")
    assert load("folder", "all where label is below 1", data_dir=tmp_path, labels=True).spec.class_names == ("9", "10")


def test_links_are_followed_and_hidden_folders_are_not(tmp_path):
    save(pillow(ramp(1)[0]), tmp_path, "all", "cats", "1.png")
    save(pillow(ramp(2)[1]), tmp_path, "elsewhere", "1.png")
    (tmp_path / "all/dogs").symlink_to(tmp_path / "elsewhere")
    save(pillow(ramp(1)[0]), tmp_path, "all", ".ipynb_checkpoints", "1.png")
    save(pillow(ramp(1)[0]), tmp_path, "all", "cats", ".ipynb_checkpoints", "2.png")
    (tmp_path / "all/cats/3.png").mkdir()
    dataset = load("folder", "all", data_dir=tmp_path / "all", labels=True)
    assert dataset.labels().tolist() == [0, 1]
    assert np.array_equal(images_of(dataset), ramp(2))
    (tmp_path / "all/cats/gone.png").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        load("folder", "all", data_dir=tmp_path / "all")


def test_each_file_is_one_image_however_many_links_lead_to_it(tmp_path, capsys):
    for i in range(4):
        save(pillow(ramp(4)[i]), tmp_path, f"train/{'ab'[i % 2]}/{i}.png")
    for link, target in (("again", "."), ("train/a/up", "../.."), ("train/b/other", "../a"), ("train/a/other", "../b")):
        (tmp_path / link).symlink_to(target)
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid/9.png").symlink_to("../train/b/3.png")
    train = load("folder", "train", data_dir=tmp_path, labels=True)
    assert (train.labels().tolist(), train.spec.class_names) == ([0, 0, 0, 0], ("a", "b"))
    assert np.array_equal(images_of(train), ramp(4)[[0, 2, 1, 3]])
    assert len(load("folder", "all", data_dir=tmp_path)) == 4
    load_splits(DataConfig(dataset="folder", data_dir=str(tmp_path), validation_split="valid", test_split=""))
    assert "1 images are in both" in capsys.readouterr().err


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A folder of 100 grey images, of which ten are looked at before training."""
    for reader in (module, loading):
        monkeypatch.setattr(reader, "INSPECTED", 10)
    for i in range(100):
        PIL.Image.new("L", (6, 4), i % 5).save(tmp_path / f"{i:02}.png")
    return tmp_path


def test_few_files_are_read_before_training(many, monkeypatch):
    decode, kind_of = Mock(wraps=module.decode), Mock(wraps=module.kind_of)
    monkeypatch.setattr(module, "decode", decode)
    monkeypatch.setattr(module, "kind_of", kind_of)
    load("folder", "all", data_dir=many)
    assert len({call.args[0] for call in decode.call_args_list}) == 10
    assert decode.call_count < 20
    assert kind_of.call_count == 10


@pytest.mark.parametrize(
    ("odd", "match"),
    [
        (PIL.Image.new("L", (6, 5)), r"00\.png.*99\.png.*resize"),
        (PIL.Image.new("RGB", (6, 4)), r"00\.png.*99\.png.*grey"),
        (PIL.Image.new("L", (6, 4), 5), r"99\.png.*value 5.*levels"),
        (None, r"99\.png cannot be read"),
    ],
)
def test_an_odd_file_is_named_when_it_is_read(many, odd, match):
    odd.save(many / "99.png") if odd else (many / "99.png").write_text("no image")
    dataset = load("folder", "all", data_dir=many, levels=5)
    with pytest.raises(InputError, match="binarize reads 8 bits"):
        load("folder", "all", data_dir=many, levels=5, binarize="threshold" if odd else "dynamic")
    with pytest.raises(InputError, match=match):
        images_of(dataset)
    if odd and odd.getextrema() != (5, 5):
        assert images_of(load("folder", "all", data_dir=many, resize=3, grey=True)).shape == (100, 3, 3, 1)


def test_refusals(tmp_path):
    save(pillow(ramp(1)[0]), tmp_path, "images/train/a/1.png")
    save(pillow(ramp(1)[0]), tmp_path, "images/train/2.png")
    (tmp_path / "empty").mkdir()
    for folder, options, match in (
        (None, {}, "data_dir"),
        ("nowhere", {}, "data_dir"),
        ("empty", {}, "data_dir=.*empty must be a folder of images"),
        ("images", {"split": "test"}, '"test".*train'),
        ("images", {"labels": True}, "labels"),
        ("images", {"split": "train where label is a"}, "label"),
    ):
        place = folder and tmp_path / folder
        with pytest.raises(InputError, match=match):
            load("folder", data_dir=place, **({"split": "train"} | options))


def test_captions_are_lines_of_metadata(tmp_path):
    for i, path in enumerate(["train/b.png", "train/deep/a.png", "test/a.png"]):
        save(pillow(ramp(3)[i]), tmp_path, path)
    (tmp_path / "train/metadata.jsonl").write_text(
        '{"file_name": "b.png", "text": "A red square.", "x": 1}\n{"file_name": "deep/a.png", "text": "a circle"}\n\n'
    )
    (tmp_path / "test/metadata.jsonl").write_text('{"file_name": "a.png", "text": "blue"}\n')
    train = load("folder", "train", data_dir=tmp_path, captions=True)
    assert train.spec.words == ("a", "blue", "circle", "red", "square")  # those of all splits
    assert [example["caption"].tolist() for example in train] == [[1, 4, 5], [1, 3, 0]]
    assert load("folder", "train", data_dir=tmp_path).spec.words is None
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/train").symlink_to(tmp_path / "train", target_is_directory=True)
    assert "circle" in load("folder", "train", data_dir=tmp_path / "linked", captions=True).spec.words


def test_captions_that_are_missing_or_damaged_are_refused(tmp_path):
    save(pillow(ramp(1)[0]), tmp_path, "train/a.png")
    for content, named in (
        (b"", "a.png has none"),
        (b"[]", "line 1"),
        (b'{"file_name": "a.png"}', "1"),
        (b"\xff", "1"),
        (b'{"file_name": "a.png", "text": " ."}', "line 1"),
        (2 * b'{"file_name": "train/a.png", "text": "a"}\n', "line 2.*only line of its image"),
    ):
        (tmp_path / "metadata.jsonl").write_bytes(content)
        with pytest.raises(InputError, match=named):
            load("folder", "train", data_dir=tmp_path, captions=True)
