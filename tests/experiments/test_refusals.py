"""Everything that experiments refuse before any training, by the name of the field."""

import pytest
from tiny import tiny_experiment, tiny_run

from pixelcnn_jax import InputError
from pixelcnn_jax.models.inputs import ImageSpec

WITH_LABELS = ("classifier", "class_conditional", "embedding", "embedding_conditional", "few_shot")

REFUSALS = [
    *((name, {"data.labels": False, "data.images_per_class": 1}, r"labels") for name in WITH_LABELS),
    ("unconditional", {"settings.augment": 0.5, "settings.views": (3, 16)}, "below 16"),
    ("captions", {"settings.classifier": "unconditional"}, "mnist_scenes"),
    ("class_conditional", {"settings.classifier": "unconditional"}, "experiment classifier"),
    ("class_conditional", {"settings.classifier": "classifier", "data.scan": "rotated"}, r"config\.data\.scan"),
    ("tokenizer", {"data.resize": 7}, r"config\.data\.resize"),
    ("codes", {}, r"config\.codes\.tokenizer"),
    ("codes", {"settings.decoder": "my_codes:decode", "data.scan": "columns"}, "for data of codes only"),
    ("codes", {"settings.tokenizer": "classifier"}, "experiment tokenizer"),
    ("codes", {"settings.tokenizer": "tokenizer", "data.resize": 7}, "8x8x1 with 17 levels, not of 7x7x1"),
    ("embedding_conditional", {"settings.embedder": "unconditional"}, "experiment embedding"),
    ("embedding_conditional", {"settings.embedder": "embedding", "settings.bottleneck": 7}, "bottleneck"),
    ("embedding_conditional", {}, r"config\.embedding_conditional\.embedder"),
    ("embedding", {"train.microbatch_size": 8}, r"microbatch_size"),
    ("embedding", {"data.test_split": "test where label is 3"}, r"config\.data\.test_split"),
    ("embedding", {"data.train_split": "train where label is 3[:64]"}, r"config\.train\.eval_batch_size"),
    ("few_shot", {"data.max_examples": 0}, r"config\.data\.max_examples"),
    ("few_shot", {"settings.alphabets": ("test where label is nobody",)}, "nobody"),
    ("few_shot", {"data.test_split": "test where label is 3[:1]"}, "classes of more than 1 images"),
    ("unconditional", {"optimizer.decay": 0.5}, "decay needs schedule=constant"),
    ("ablations", {"model.network": "RowLSTM"}, r"config\.model\.network"),
]
WORKDIRS = ("settings.classifier", "settings.embedder", "settings.tokenizer")


@pytest.mark.parametrize(("name", "changes", "named"), REFUSALS)
def test_what_cannot_be_trained_is_refused(name, changes, named, workdirs, tmp_path):
    changes = {key: str(workdirs(x)) if key in WORKDIRS else x for key, x in changes.items()}
    with pytest.raises(InputError, match=named):
        tiny_run(name, tmp_path / "new", changes)
    assert not list(tmp_path.glob("new/*.png"))


def test_grey_images_cannot_be_colourised():
    with pytest.raises(InputError, match=r"config\.data\.dataset"):
        tiny_experiment("colourise", spec=ImageSpec(8, 8, 1, 17))
