"""Training in one call: it learns a density that is known, resumes to the bit, and refuses what does not fit."""

import sys
from unittest.mock import Mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import before_call, finished

from pixelcnn_jax import GatedPixelCNN, InputError, evaluate, load_pretrained, sample
from pixelcnn_jax.training import fit as module
from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.fit import Fitted, fit
from pixelcnn_jax.zoo.registry import ModelConfig

TINY = ModelConfig(features=8, layers=1, first_kernel_size=3)
STAYS = 0.9  # probability that a pixel equals the one to its left
ENTROPY = (1 - 3 * (STAYS * np.log2(STAYS) + (1 - STAYS) * np.log2(1 - STAYS))) / 4  # bits per pixel of rows of four
SHORT = dict(steps=6, batch_size=16, eval_every=2, learning_rate=3e-2, progress=False)
EXTRAS = ("ml_collections", "orbax", "jinja2", "matplotlib", "sklearn", "tensorflow_datasets", "clu")


def rows_that_stay(count, seed=0):
    """Binary images whose rows are Markov chains, so that their entropy is known."""
    flips = np.random.default_rng(seed).random((count, 4, 4)) < [0.5, *[1 - STAYS] * 3]
    return np.cumsum(flips, axis=2) % 2 == 1


IMAGES = rows_that_stay(400)


def without_times(history):
    return [{k: x for k, x in record.items() if k not in ("seconds", "images_per_second")} for record in history]


@pytest.fixture(scope="module")
def short():
    return fit(TINY, IMAGES, **SHORT)


class Masked(nn.Module):
    levels: int = 2
    channels: int = 1
    normalised: bool = False

    @nn.compact
    def __call__(self, images):
        mask = self.variable("masks", "mask", lambda: jnp.tri(4, k=-1)).value
        images = nn.BatchNorm(use_running_average=False)(1.0 * images) if self.normalised else images
        x = images[..., 0] @ (mask * self.param("weights", nn.initializers.ones, (4, 4))).T
        return jnp.stack([jnp.zeros_like(x), x], axis=-1)[..., None, :]


def test_parameters_alone_are_trained():
    _, variables, _ = fit(Masked(), IMAGES, **SHORT)
    np.testing.assert_array_equal(variables["masks"]["mask"], np.tri(4, k=-1))
    assert not (variables["params"]["weights"] == 1).all()


def test_training_is_in_float32_from_weights_in_half_precision(short):
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), short.variables)
    _, variables, _ = fit(short.model, IMAGES, variables=half, **SHORT)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_what_is_learned_is_near_the_entropy_of_the_images(monkeypatch):
    for name in EXTRAS:
        monkeypatch.setitem(sys.modules, name, None)
    model, variables, history = fit(TINY, IMAGES, steps=60, batch_size=64, learning_rate=3e-2)
    actual = evaluate(model, variables, rows_that_stay(2000, seed=1), batch_size=400)
    assert isinstance(model, GatedPixelCNN)
    assert model.levels == 2
    low, high = (nats / (16 * np.log(2)) for nats in actual.interval)
    assert ENTROPY < high
    assert low < ENTROPY + 0.03
    validated = [record["validation_bits_per_dim"] for record in history if "validation_bits_per_dim" in record]
    assert len(validated) == 10
    drawn = np.asarray(sample(model, variables, jax.random.key(2), shape=(500, 4, 4)))[..., 0]
    assert abs((drawn[:, :, 1:] == drawn[:, :, :-1]).mean() - STAYS) < 0.03


def test_the_parameters_are_those_of_the_best_validation(short):
    held_out = module._held_out(0.1, 400, int(jax.random.bits(jax.random.key(0))))
    actual = evaluate(short.model, short.variables, IMAGES[held_out])
    validated = [record["validation_bits_per_dim"] for record in short.history if "validation_bits_per_dim" in record]
    assert len(held_out) == 40
    assert len(validated) == 3
    np.testing.assert_allclose(actual.bits_per_dim, min(validated), rtol=1e-5)


def test_a_call_that_was_killed_resumes_to_the_same_bits(short, tmp_path, monkeypatch):
    with before_call(Checkpoints, "save", 2, Mock(side_effect=KeyboardInterrupt)), pytest.raises(KeyboardInterrupt):
        fit(TINY, IMAGES, workdir=tmp_path / "data.v2/run", **SHORT)
    resumed = fit(TINY, IMAGES, workdir=tmp_path / "data.v2/run", **SHORT)
    (mine := tmp_path / "data.v2/run/samples.png").touch()
    again = fit(TINY, IMAGES, workdir=str(tmp_path / "data.v2/run"), **SHORT)  # finished
    assert mine.exists()
    loaded = load_pretrained(tmp_path / "data.v2/run")
    for one in (resumed, again, loaded):
        jax.tree.map(np.testing.assert_array_equal, one.variables, short.variables)
        assert one.model == short.model
    assert without_times(resumed.history) == without_times(again.history) == without_times(short.history)
    assert loaded.card["density"] == "p(x)"
    arguments = loaded.card["config"]["fit"]["arguments"]
    assert "dropout" not in arguments["model"]  # a field of a later version would be missing, as those of defaults are
    assert loaded.card["config"]["data"] | {"levels": 2, "labels": False} == loaded.card["config"]["data"]
    changes = {"images": ~IMAGES, "h": np.arange(len(IMAGES)) % 3, "key": jax.random.key(1), "validation": 0.2}
    changes |= {"model": None, "steps": 7, "ema_decay": 0.8, "learning_rate": 1e-3, "eval_every": None}
    for name, value in changes.items():
        with pytest.raises(InputError, match=rf"data\.v2/run has a different config: {name} was"):
            fit(**{"model": TINY, "images": IMAGES} | SHORT | {name: value}, workdir=tmp_path / "data.v2/run")


def test_codes_given_labels_and_a_map_make_a_prior():
    codes, labels = np.random.default_rng(0).integers(0, 5, (32, 2, 3)), np.arange(32) % 3
    s = np.ones((32, 2, 3, 2), np.float32)
    prior = ModelConfig(features=8, layers=1, first_kernel_size=3, code_features=4)
    model, variables, _ = fit(prior, codes, levels=5, h=labels, s=s, **SHORT | {"steps": 2})
    assert (model.levels, model.code_features) == (5, 4)
    drawn = sample(model, variables, jax.random.key(0), shape=(3, 2, 3), h=np.arange(3), s=s[:3])
    assert 0 <= drawn.min() <= drawn.max() < 5
    longer = fit(model, codes, h=labels, s=s, variables=variables, **SHORT | {"steps": 1, "learning_rate": 1e-9})
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), longer.variables, variables)


@pytest.mark.parametrize(
    ("images", "levels", "expected"),
    [
        (np.zeros((9, 2, 2), bool), None, (2, 1, 0)),
        (np.zeros((9, 2, 2), bool), 17, (17, 1, 0)),
        (np.zeros((9, 2, 2), np.uint8), None, (256, 1, 8)),  # zeros and ones are no binary images
        (np.zeros((9, 2, 2), np.uint8), 2, (2, 1, 0)),
        (np.zeros((9, 2, 2, 3), np.uint16), None, (65536, 3, 8)),
        (np.zeros((9, 2, 2), int), 17, (17, 1, 0)),
        (np.zeros((9, 3, 6, 5), int), 17, (17, 5, 0)),
    ],
)
def test_the_images_decide_the_levels_and_channels_of_the_default_network(
    images, levels, expected, monkeypatch, capsys
):
    monkeypatch.setattr(module, "_train", lambda config, model, *rest: Fitted(model, {}, [config]))
    model, _, (config,) = fit(None, images, levels=levels)
    assert (model.levels, model.channels, model.mixture) == expected
    assert (config.model.features, config.model.mixture) == (model.features, model.mixture)  # what a card will say
    told = capsys.readouterr().err
    assert ("levels=2 gives" in told) == (images.dtype.kind == "u" and levels is None)
    assert ("numpy.moveaxis(images, 1, -1)" in told) == (images.shape[1] == 3)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"images": IMAGES / 2}, "images must be integers, got float64"),
        ({"images": IMAGES.astype(int)}, "levels must follow from .*int64"),
        ({"images": IMAGES.astype(int) * 3, "levels": 3}, "images must hold integers 0 to 2, got 0 to 3"),
        ({"images": IMAGES[:1]}, "validation must be a fraction or some indices of 1 images"),
        ({"model": GatedPixelCNN(levels=2), "levels": 3}, "levels must follow from .*levels=3, a model with 2"),
        ({"h": np.arange(399)}, "h must have a row for each of the 400 images"),
        ({"h": np.full(400, 10**6)}, "h must hold integers 0 to 65535"),
        ({"s": np.ones((400, 4, 5, 1), np.float32)}, "s must be given as floats of shape"),
        ({"model": Masked(normalised=True)}, "model must not change variables when called, as BatchNorm"),
        ({"validation": 0.0}, "validation must be a fraction or some indices of 400 images, got 0.0"),
        ({"validation": np.array([400])}, "validation must be a fraction or some indices of 400"),
        ({"validation": IMAGES[:3].astype(np.uint8)}, "validation must be a fraction or some indices of 400"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"batch_size": 12}, "batch_size must be a multiple of 8 devices"),
        ({"microbatch_size": 3}, "batch_size must be a multiple of 8 devices times microbatch_size=3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_does_not_fit_is_refused_in_a_sentence_without_the_words_of_a_config(changes, named):
    with pytest.raises(InputError, match=f"^{named}") as refused:
        fit(**{"model": TINY, "images": IMAGES} | changes)
    assert "config." not in str(refused.value)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_loss_that_diverges_names_the_learning_rate():
    with pytest.raises(InputError, match=r"lower learning_rate"):
        fit(TINY, IMAGES, **SHORT | {"steps": 30, "eval_every": 30, "learning_rate": 1e30})


def test_a_folder_needs_the_extra_and_training_none(monkeypatch, tmp_path):
    """``fit`` is imported by a process that can import no extra, nor what Windows lacks."""
    monkeypatch.setitem(sys.modules, "orbax", None)
    with pytest.raises(InputError, match=r"\.\[train\]"):
        fit(TINY, IMAGES, workdir=tmp_path)
    code = f"import sys; sys.modules.update(dict.fromkeys({(*EXTRAS, 'fcntl')})); from pixelcnn_jax import fit"
    finished([sys.executable, "-c", code])


def test_a_model_fitted_to_labels_is_sampled_by_label_from_a_shell(pixelcnn, tmp_path):
    fit(TINY, IMAGES, h=np.arange(len(IMAGES)) % 2, workdir=tmp_path / "run", **SHORT | {"steps": 1})
    pixelcnn("sample", tmp_path / "run", "--label=1", "-o", tmp_path / "a.png")
