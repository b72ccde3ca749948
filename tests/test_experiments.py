"""Every experiment: two steps, the picture drawn again, wrong conditions refused, and its figures by hand."""

import argparse
import errno
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from proofs import assert_follow
from scipy import stats

from configs import base, digits
from experiments import (
    autoencoder,
    class_conditional,
    classifier,
    cli,
    codes,
    embedding,
    embedding_conditional,
    evaluate,
    export,
    floor,
    judge,
    multiscale,
    sample,
    table,
    trained,
    unconditional,
    vae,
)
from experiments.embedding_conditional import distance, identities_of, nearest
from experiments.network import make_network
from pixelcnn_jax import (
    DiagonalBiLSTM,
    GatedPixelCNN,
    InputError,
    PixelCNN,
    RowLSTM,
    load_pretrained,
    log_prob,
    pretrained_names,
)
from pixelcnn_jax.data.baselines import gaussian_nats, multivariate_gaussian
from pixelcnn_jax.data.dataset import from_array, load, no_images, some_images
from pixelcnn_jax.models.encoders import (
    Deconvolution,
    Encoder,
    Enlargement,
    Upsampling,
    between,
    on_unit_sphere,
    squared_distances,
    triplet_loss,
    verification,
)
from pixelcnn_jax.models.inputs import another
from pixelcnn_jax.pretrained import read_card
from pixelcnn_jax.training.loop import Splits, train

MODULES = {
    module.__name__.removeprefix("experiments."): module
    for module in (
        unconditional,
        classifier,
        class_conditional,
        embedding,
        embedding_conditional,
        autoencoder,
        multiscale,
        vae,
        codes,
    )
}
TINY = {
    "steps": 2,
    "batch_size": 16,
    "at_once": 8,
    "eval_batch_size": 32,
    "levels": 17,
    "labels": True,
    "train_split": "train[:64]",
    "validation_split": "validation[:64]",
    "test_split": "test[:64]",
    "encoder_features": (8, 8),
    "bottleneck": 6,
    "report_images": 32,
    "report_samples": 16,  # as many as the picture shows, which saves a compilation
    "sample_rows": 4,
    "sample_columns": 4,
    "model.features": 8,
    "model.layers": 1,
    "model.dropout": 0.1,
    "map_features": 0,
}
OWN = {
    "embedding": {"at_once": None, "per_class": 2, "turn": True},
    "embedding_conditional": {"turn": True, "embedding_noise": 0.1},
    "autoencoder": {"map_features": 3},
    "multiscale": {"map_features": 4, "small_layers": 1},
    "vae": {"kl_warmup": 10, "free_nats": 0.1},
    "codes": {"codes": 5, "model.code_features": 3},
}


def tiny_config(name, **changes):
    config = base.get_config()
    config.experiment = name
    config.update_from_flattened_dict(TINY | OWN.get(name, {}) | changes)
    return config


def run(name, workdir, **changes):
    config = tiny_config(name, **changes)
    splits = cli.load_splits(config)
    return train(config, MODULES[name].make_experiment(config, splits), splits, workdir)


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory):
    """A finished run of each experiment, two steps long, made when it is asked for."""
    root = tmp_path_factory.mktemp("runs")

    def workdir(name: str) -> Path:
        needs = {
            "class_conditional": {"classifier": "classifier"},
            "embedding_conditional": {"embedder": "embedding"},
            "autoencoder": {"unconditional": "unconditional"},
            "multiscale": {"single_scale": "class_conditional", "classifier": "classifier"},
        }.get(name, {})
        run(name, root / name, **{field: str(workdir(other)) for field, other in needs.items()})
        return root / name

    return workdir


@pytest.mark.parametrize("name", MODULES)
def test_two_steps_and_the_picture_again(name, workdirs, tmp_path, capsys):
    workdir = workdirs(name)
    result = json.loads((workdir / "result.json").read_text())
    assert [result["scores"][split]["images"] for split in ("train", "validation", "test")] == [64, 64, 64]
    numbers = [value for value in result["report"].values() if not isinstance(value, bool)]
    assert all(math.isfinite(value) for value in numbers)
    assert bool(numbers) == (name != "unconditional")
    columns = ["--columns", "3"] if name == "unconditional" else []
    sample.main(["--workdir", str(workdir), "--output", str(tmp_path / "new.png"), *columns])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["experiment"] == name
    picture = np.asarray(Image.open(tmp_path / "new.png"))
    assert len(np.unique(picture)) > 4


def test_a_run_of_another_experiment_is_refused(workdirs, tmp_path):
    with pytest.raises(InputError, match=r"is a run of experiments.unconditional, but one of classifier"):
        run("class_conditional", tmp_path / "a", classifier=str(workdirs("unconditional")))
    with pytest.raises(InputError, match="judges images of levels 17, but those here are of 2"):
        run("class_conditional", tmp_path / "a", classifier=str(workdirs("classifier")), binarize="threshold")
    with pytest.raises(InputError, match=r"is a run of experiments.unconditional, but one of class_conditional"):
        run("multiscale", tmp_path / "a", single_scale=str(workdirs("unconditional")))
    with pytest.raises(InputError, match=r"is a run of experiments.unconditional, but one of embedding"):
        run("embedding_conditional", tmp_path / "b", embedder=str(workdirs("unconditional")))
    with pytest.raises(InputError, match=r"embeds with bottleneck 6, but this config has 7"):
        run("embedding_conditional", tmp_path / "c", embedder=str(workdirs("embedding")), bottleneck=7)
    with pytest.raises(InputError, match="has not scored the 32 images"):
        run("autoencoder", tmp_path / "d", unconditional=str(workdirs("unconditional")), test_split="test[:32]")
    with pytest.raises(InputError, match="needs embedder"):
        run("embedding_conditional", tmp_path / "e")
    assert not any(tmp_path.iterdir())  # all of it before any training


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"at_once": 8}, "leave at_once out"),
        ({"test_split": "test where label is 3"}, "must hold several identities"),
        ({"validation_split": "train where label is 3[:64]"}, "are of one identity"),
        ({"report_samples": 0}, "report_samples must be"),
        ({"report_images": -1}, "report_images must be"),
    ],
)
def test_what_no_embedding_can_be_learned_from_is_refused(tmp_path, changes, told):
    with pytest.raises(InputError, match=told):
        run("embedding", tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()


def test_splits_of_images_of_two_sizes_are_refused(tmp_path):
    for folder, size in (("train", (4, 6)), ("validation", (4, 6)), ("test", (4, 5))):
        (tmp_path / folder).mkdir()
        Image.new("L", size).save(tmp_path / folder / "1.png")
    config = tiny_config("unconditional", dataset="folder", data_dir=str(tmp_path), labels=False, levels=256)
    config.train_split, config.validation_split, config.test_split = "train", "validation", "test"
    with pytest.raises(InputError, match=r"train holds images of 6x4x1, but .* test of 5x4x1: set resize or grey"):
        cli.load_splits(config)
    config.resize = 4
    assert cli.load_splits(config).test.shape == (4, 4, 1)


def test_another_image_is_another():
    pool = np.arange(5).reshape(5, 1, 1, 1).repeat(2, axis=0)
    assert np.all(pool[another(pool, pool)] != pool)
    assert len(np.unique(another(np.arange(100).reshape(100, 1, 1, 1), pool))) == len(pool)
    assert another(pool[:1], pool[:2]) < 2  # there is no other


@pytest.mark.parametrize("name", ["classifier", "class_conditional", "embedding", "embedding_conditional", "codes"])
def test_without_labels_it_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="needs"):
        run(name, tmp_path / "new", labels=False, per_class=1)
    assert not (tmp_path / "new").exists()


def test_a_config_of_another_experiment_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"run python -m experiments.unconditional"):
        cli.run("experiments.vae", vae.make_experiment, tiny_config("unconditional"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def conditional():
    """A class-conditional experiment of the digits, its parameters off their initial values, and some images."""
    config = tiny_config("class_conditional")
    splits = cli.load_splits(config)
    experiment = class_conditional.make_experiment(config, splits)
    params = jax.tree.map(
        lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape),
        jax.jit(experiment.init)(jax.random.key(0)),
    )
    model = GatedPixelCNN(levels=17, channels=1, **config.model)
    images = some_images(splits.test, 12)
    each = [log_prob(model, params, images, h=jnp.tile(jnp.eye(10)[y], (12, 1))) for y in range(10)]
    return experiment, params, images, splits.test.labels()[:12], np.stack(each, axis=1)


def test_the_label_is_worth_at_most_its_own_entropy(conditional):
    experiment, params, images, labels, joint = conditional
    marginal = np.logaddexp.reduce(joint, axis=1) - np.log(10)
    assert np.all(joint - marginal[:, None] <= np.log(10))
    assert np.max(joint - marginal[:, None]) > 0.5  # it does something
    loss = experiment.loss(params, {"image": images, "label": labels}, None)
    np.testing.assert_allclose(-loss, joint[np.arange(12), labels], rtol=1e-5)
    found = class_conditional.bayes(joint, labels, (8, 8, 1))
    np.testing.assert_allclose(found["nats_the_label_is_worth"], np.mean(joint[np.arange(12), labels] - marginal))


def test_bayes_rule_by_hand():
    joint = np.log(np.array([[0.5, 0.25], [0.1, 0.3]]))
    found = class_conditional.bayes(joint, np.array([0, 0]), (1, 1, 1))
    expected = np.mean([np.log(0.5 / 0.375), np.log(0.1 / 0.2)])
    np.testing.assert_allclose(found["nats_the_label_is_worth"], expected)
    np.testing.assert_allclose(found["bits_per_dim_without"], -np.mean(np.log2([0.375, 0.2])))
    assert found["bayes_accuracy"] == 0.5
    assert found["at_most"] == np.log(2)


def test_a_class_folds_into_a_model_of_its_own(workdirs):
    workdir = workdirs("class_conditional")
    run_ = trained.restore(workdir, "class_conditional")
    images = some_images(load("digits", "test", levels=17), 8)
    losses = run_.experiment.loss(run_.params, {"image": images, "label": np.full(8, 3)}, None)
    model, variables, *_ = trained.load(workdir, label=3)
    np.testing.assert_allclose(-log_prob(model, variables, images), losses, rtol=1e-5)
    other = trained.load(workdir, label=4).variables
    assert np.max(np.abs(log_prob(model, other, images) + losses)) > 1e-3
    for label in (None, 10, -1):
        with pytest.raises(InputError, match="give a label, 0 to 9"):
            trained.load(workdir, label=label)
    with pytest.raises(InputError, match="leave the label out"):
        trained.load(workdirs("unconditional"), label=1)


NETWORKS = [GatedPixelCNN, PixelCNN, RowLSTM, DiagonalBiLSTM]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_config_names_its_network(network):
    config = tiny_config("unconditional", network=network.__name__)
    model = make_network(config, levels=17, channels=3)
    assert model == network(levels=17, channels=3, features=8, layers=1, dropout=0.1, dtype="float32")
    with pytest.raises(InputError, match=r"network must be one of GatedPixelCNN, .*, not PixelGAN"):
        make_network(tiny_config("unconditional", network="PixelGAN"), levels=17, channels=3)
    with config.unlocked():  # as a config that was kept may be, of another version
        config.model.stride = 2
    with pytest.raises(InputError, match=r"config.model does not fit .*stride"):
        make_network(config, levels=17, channels=3)


def test_what_another_network_is_told_does_not_fold(tmp_path):
    run("class_conditional", tmp_path, network="RowLSTM", report_images=0, sample_rows=1, sample_columns=2)
    with pytest.raises(InputError, match="is of a RowLSTM that is told h, a label or a view"):
        trained.load(tmp_path, label=3)


def test_a_run_that_is_older_than_its_network_field(workdirs, tmp_path):
    config = json.loads((workdirs("unconditional") / "config.json").read_text())
    del config["network"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert trained.read_config(tmp_path)[0].network == "GatedPixelCNN"


def test_weights_are_a_run_to_stand_beside():
    config = digits.get_config()
    validation = cli.load_splits(config).validation
    nats = trained.nats_of_run("digits", config, validation, "unconditional")
    assert nats == read_card("digits")[1]["scores"]["validation"]["nats"]
    with pytest.raises(InputError, match=r"mnist_classes is a run of experiments.class_conditional, but one of uncond"):
        trained.nats_of_run("mnist_classes", config, validation, "unconditional")


def test_runs_of_two_folders_of_one_name_do_not_stand_beside(workdirs, tmp_path):
    kept = json.loads((workdirs("unconditional") / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps(kept | {"dataset": "folder", "data_dir": str(tmp_path / "a/grey")})
    )
    shutil.copy(workdirs("unconditional") / "result.json", tmp_path)
    validation = cli.load_splits(tiny_config("unconditional")).validation
    mine = base.get_config()
    mine.update({"dataset": "folder", "data_dir": str(tmp_path / "b/../a/grey")})
    nats = json.loads((tmp_path / "result.json").read_text())["scores"]["validation"]["nats"]
    assert trained.nats_of_run(tmp_path, mine, validation, "unconditional") == nats
    mine.data_dir = str(tmp_path / "b/grey")
    with pytest.raises(InputError, match="has not scored the 64 images"):
        trained.nats_of_run(tmp_path, mine, validation, "unconditional")


def test_a_map_of_the_label_acts_by_place(tmp_path):
    """Equation 5: other labels change the map, and the map the likelihood; m is trained."""
    config = tiny_config("class_conditional", map_features=3)
    splits = cli.load_splits(config)
    experiment = class_conditional.make_experiment(config, splits)
    params = jax.jit(experiment.init)(jax.random.key(0))
    batch = {"image": some_images(splits.test, 4), "label": np.arange(4)}
    loss = jax.jit(lambda params, batch: experiment.loss(params, batch, None))
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(loss(params, batch))))(params)
    assert all(np.any(x) for x in jax.tree.leaves(gradient["map"]["Dense_0"]["kernel"]))
    other = batch | {"label": np.arange(4) + 1}
    assert np.all(loss(params, batch) != loss(params, other))
    assert experiment.sample(params, jax.random.key(1)).shape == (4, 4, 8, 8, 1)


@pytest.mark.parametrize("name", ["class_conditional", "multiscale"])
def test_samples_follow_the_likelihood_of_their_class(name):
    """Over all images of 2x2, whose probabilities sum to one; of two scales the small image is one pixel of them."""
    config = tiny_config(name, sample_rows=2, sample_columns=4000)
    like = no_images((2, 2, 1), levels=3, classes=2)
    experiment = MODULES[name].make_experiment(config, Splits(like, like))
    params = jax.tree.map(
        lambda x: x + 0.15 * jax.random.normal(jax.random.key(x.size), x.shape),
        jax.jit(experiment.init)(jax.random.key(0)),
    )
    loss = jax.jit(lambda params, batch: experiment.loss(params, batch, None))
    every = np.array(list(itertools.product(range(3), repeat=4)), np.int32).reshape(-1, 2, 2, 1)
    drawn = np.asarray(experiment.sample(params, jax.random.key(1)))
    probabilities = []
    for label in (0, 1):
        nats = loss(params, {"image": every, "label": np.full(len(every), label)})
        probabilities.append(np.exp(-np.asarray(nats, np.float64)))
        np.testing.assert_allclose(probabilities[label].sum(), 1, rtol=1e-5)
        assert_follow(drawn[label], probabilities[label], levels=3)
    with pytest.raises(AssertionError, match="do not follow"):  # a row of the other class
        assert_follow(drawn[0], probabilities[1], levels=3)


def test_reports_agree_with_scores(workdirs):
    """What a report counts of the same images in another way, or as a difference of two runs."""

    def result(name):
        return json.loads((workdirs(name) / "result.json").read_text())

    def nats(name):
        return result(name)["scores"]["test"]["nats"]

    scales, encoded = result("multiscale")["report"], result("autoencoder")["report"]
    both = scales["nats_of_the_small_image"] + scales["nats_of_the_rest"]
    np.testing.assert_allclose(both, nats("multiscale"), rtol=1e-5)
    gained = nats("class_conditional") - nats("multiscale")
    np.testing.assert_allclose(scales["nats_gained_over_single_scale"], gained, atol=1e-3)
    gained = nats("unconditional") - nats("autoencoder")
    np.testing.assert_allclose(encoded["nats_gained_over_unconditional"], gained, atol=1e-3)


def test_a_judge_of_real_images_finds_the_accuracy_of_the_classifier(workdirs):
    config = tiny_config("class_conditional", classifier=str(workdirs("classifier")), report_samples=40)
    splits = cli.load_splits(config)
    images, labels = (np.stack([example[key] for example in splits.train.examples]) for key in ("image", "label"))
    asked = []

    def real(key, wanted):
        asked.append(wanted)
        return images[[np.flatnonzero(labels == label)[0] for label in wanted]]

    found = judge.make_judge(config, splits)(real)
    run = trained.restore(config.classifier, "classifier")
    network = classifier.make_network(run.config, run.splits)
    firsts = [np.flatnonzero(labels == label)[0] for label in range(10)]
    right = np.asarray(classifier.classes_of(network, run.params, jnp.asarray(images[firsts]))) == np.arange(10)
    assert found == {"samples": 40, "samples_of_their_class": right.mean()}
    np.testing.assert_array_equal(np.concatenate(asked), np.arange(10).repeat(4))


def test_differences_of_images_by_hand():
    black, white = np.zeros((2, 2, 2, 1), int), np.full((2, 2, 2, 1), 4)
    assert distance(black, white, 5) == 1
    half = np.stack([black[0], white[0]])
    assert distance(half, black, 5) == 0.5
    generator = np.random.default_rng(0)
    few, known = generator.integers(0, 5, (3, 2, 2, 1)), generator.integers(0, 5, (6, 2, 2, 1))
    expected = np.mean([min(distance(x[None], y[None], 5) for y in known) for x in few])
    np.testing.assert_allclose(nearest(few, known, 5), expected, rtol=1e-5)


def test_identities_are_those_that_come_first_and_have_two_images():
    images = np.arange(7).reshape(7, 1, 1, 1)
    split = from_array(images, np.array([0, 3, 1, 1, 3, 3, 2]), levels=7)
    found, labels = identities_of(split, 2)
    assert [x.ravel().tolist() for x in found] == [[1, 4, 5], [2, 3]]
    assert labels == {1, 3}


def test_a_linear_probe_finds_what_lies_open():
    generator = np.random.default_rng(0)
    labels, noise = np.arange(40) % 2, generator.normal(size=(40, 3))
    codes_ = noise + np.array([100.0, 0, 0]) * labels[:, None]
    assert autoencoder.linear_probe(codes_[:20], labels[:20], codes_[20:], labels[20:]) == 1
    assert autoencoder.linear_probe(codes_[:20], labels[:20], codes_[20:], 1 - labels[20:]) == 0
    assert autoencoder.squared_error(jnp.full((1, 2, 2, 1), 0.5), np.full((1, 2, 2, 1), 4), 5) == 0.25


def test_the_weight_of_the_kl_rises_and_free_nats_count_whatever_is_used():
    config = tiny_config("vae", kl_warmup=10, free_nats=100.0, **{"model.dropout": 0.0})
    splits = cli.load_splits(config)
    experiment = vae.make_experiment(config, splits)
    params = jax.jit(experiment.init)(jax.random.key(0))
    image = jnp.asarray(some_images(splits.test, 2))
    loss = jax.jit(lambda step: experiment.loss(params, {"image": image, "step": step}, jax.random.key(1)))
    first, last, later = (np.asarray(loss(jnp.int32(step))) for step in (0, 9, 99))
    np.testing.assert_allclose(last - first, 0.9 * 6 * 100, rtol=1e-3)  # 6 numbers of a code
    np.testing.assert_array_equal(later, last)


def test_frozen_parameters_stay(workdirs):
    before = trained.restore(workdirs("embedding"), "embedding").params
    after = trained.restore(workdirs("embedding_conditional"), "embedding_conditional").params["frozen"]
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_a_run_is_restored_when_what_it_was_made_from_is_gone(workdirs):
    pairs, embedder = workdirs("embedding_conditional"), workdirs("embedding")
    gone = embedder.rename(embedder.with_suffix(".gone"))
    try:
        trained.restore(pairs)
    finally:
        gone.rename(embedder)


def test_the_pairs_of_an_autoencoder_learn_apart():
    """The squared error moves its own pair and leaves the likelihood's gradient as it is."""
    config = tiny_config("autoencoder", **{"model.dropout": 0.0})
    splits = cli.load_splits(config)
    experiment = autoencoder.make_experiment(config, splits)
    params, key = jax.jit(experiment.init)(jax.random.key(0)), jax.random.key(1)
    batch = {"image": jnp.asarray(some_images(splits.test, 4))}

    def gradient(key):
        return jax.jit(jax.grad(lambda params: jnp.sum(experiment.loss(params, batch, key))))(params)

    training, evaluation = gradient(key), gradient(None)
    np.testing.assert_allclose(experiment.loss(params, batch, key), experiment.loss(params, batch, None), rtol=1e-6)
    for name in ("decoder", "encoder"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), training[name], evaluation[name]
        )
    for name in ("mse_decoder", "mse_encoder"):
        assert any(np.any(x) for x in jax.tree.leaves(training[name]))
        assert not any(np.any(x) for x in jax.tree.leaves(evaluation[name]))


def test_the_bound_of_many_codes_is_the_tighter_one(workdirs):
    report = json.loads((workdirs("vae") / "result.json").read_text())["report"]
    assert report["importance_weighted_bound_nats_32"] < report["negative_elbo_nats"]
    np.testing.assert_allclose(
        report["negative_elbo_nats"], report["decoder_nats_given_the_code"] + report["kl_nats"], rtol=1e-5
    )


def test_the_bound_reaches_a_likelihood_that_is_known():
    """A decoder that ignores its code has p(x) whatever it is: the ELBO is off by the KL, the weighed bound is not."""
    posterior = vae.Posterior(jnp.full((1, 2), 0.3), jnp.full((1, 2), -0.2))
    many = vae.Posterior(*(jnp.repeat(x, 200_000, axis=0) for x in posterior))
    weights = many.log_weight(many.draw(jax.random.split(jax.random.key(0), 200_000)))
    np.testing.assert_allclose(jax.nn.logsumexp(weights) - jnp.log(200_000), 0, atol=5e-3)
    np.testing.assert_allclose(-jnp.mean(weights), jnp.sum(posterior.kl()), atol=5e-3)


def test_triplets_by_hand():
    angles = jnp.array([0.0, 0.3, 0.5, 1.5])
    embeddings = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    labels = jnp.array([0, 0, 1, 1])
    d = np.asarray(squared_distances(embeddings, embeddings))
    expected = [
        max(0, d[0, 1] - d[0, 2] + 0.2),  # the nearest that is farther than the positive
        max(0, d[1, 0] - d[1, 3] + 0.2),  # 2 is nearer than the positive, so not it
        max(0, d[2, 3] - d[2, 0] + 0.2),  # none is farther: the farthest
        max(0, d[3, 2] - d[3, 1] + 0.2),
    ]
    np.testing.assert_allclose(triplet_loss(embeddings, labels), expected, rtol=1e-5)
    alone = triplet_loss(embeddings, jnp.arange(4))
    np.testing.assert_array_equal(alone, 0)


def test_a_copy_is_no_pair_but_a_collapse_costs_the_margin():
    embeddings, labels = on_unit_sphere(jnp.array([[1.0, 0], [1, 0], [1, 0]])), jnp.array([0, 0, 1])
    copies = jnp.eye(3, dtype=bool).at[:2, :2].set(True)
    np.testing.assert_array_equal(triplet_loss(embeddings, labels, copies=copies), 0)
    np.testing.assert_allclose(triplet_loss(embeddings, labels), [0.2, 0.2, 0], atol=1e-6)
    np.testing.assert_array_equal(triplet_loss(embeddings, jnp.zeros(3, int)), 0)  # nothing to be told apart from


def test_verification_by_hand():
    angles = np.array([0, 0.1, 1.0, 1.1, 2.0, 2.1])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    perfect = verification(embeddings, np.array([0, 0, 1, 1, 2, 2]))
    assert perfect == (1, 0, 1)
    mixed = verification(embeddings, np.array([0, 1, 0, 1, 0, 1]))
    assert mixed.auc < 0.6
    # Pairs by closeness: other, other, same, other, same, other. Three accepted are two of four false ones and one of
    # two true ones, so half are false accepts and half false rejects.
    corner = np.array([0, 0.1, 0.6, 2.0])
    between_two = np.stack([np.cos(corner), np.sin(corner)], axis=1).astype(np.float32)
    assert verification(between_two, np.array([0, 1, 0, 1])).eer == pytest.approx(0.5)
    with pytest.raises(InputError, match="images of several"):
        verification(embeddings, np.arange(6))


def test_between_is_on_the_sphere():
    a, b = on_unit_sphere(jax.random.normal(jax.random.key(0), (2, 5)))
    np.testing.assert_allclose(between(a, b, jnp.array(0.0)), a, atol=1e-6)
    np.testing.assert_allclose(between(a, b, jnp.array(1.0)), b, atol=1e-6)
    middle = between(a, b, jnp.array(0.5))
    np.testing.assert_allclose(jnp.sum(middle**2), 1, rtol=1e-5)
    np.testing.assert_allclose(middle @ a, middle @ b, rtol=1e-5)


def test_patches_come_back():
    images = jax.random.randint(jax.random.key(0), (3, 8, 16, 2), 0, 5)
    known = codes.patches_of(images, 4, 5).reshape(-1, 32)
    found = codes.codes_of(images, known, 5)
    assert found.shape == (3, 2, 4, 1)
    np.testing.assert_allclose(codes.images_of(found, known, 2) * 4, images, atol=1e-5)


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted(Path("configs").glob("[!_]*.py")) if path.stem != "base"]
)
def test_every_config_is_of_an_experiment(name):
    module = __import__(f"configs.{name}", fromlist=["get_config"])
    config = module.get_config()
    assert config.experiment in (*MODULES, "ablations")
    assert not config.at_once or config.batch_size % config.at_once == config.eval_batch_size % config.at_once == 0
    assert config.batch_size % 8 == config.eval_batch_size % 8 == 0  # can be shared by as many devices
    assert {*config.keys()} == {*base.get_config().keys()}
    assert f"configs/{name}.py" in module.__doc__
    assert f"experiments.{config.experiment} " in module.__doc__


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (8, 8)])
def test_networks_around_the_decoder_take_any_size(height, width):
    images = jax.random.randint(jax.random.key(0), (2, height, width, 3), 0, 4)
    key, h = jax.random.key(1), jnp.ones((2, 5))
    vectors, _ = jax.eval_shape(Encoder(5, 4, (8, 8)).init_with_output, key, images)
    assert vectors.shape == (2, 5)
    maps, _ = jax.eval_shape(Deconvolution((height, width, 6), (8, 4)).init_with_output, key, h)
    assert maps.shape == (2, height, width, 6)
    twice, _ = jax.eval_shape(Upsampling(6, 4).init_with_output, key, images)
    assert twice.shape == (2, 2 * height, 2 * width, 6)


def test_an_enlargement_sees_its_surroundings_and_keeps_its_place():
    """Output [2i + k, 2j + l] depends on inputs next to [i, j], and on no others."""
    x = jax.random.normal(jax.random.key(0), (1, 4, 5, 2))
    module = Enlargement(3)
    variables = module.init(jax.random.key(1), x)
    jacobian = jax.jacfwd(lambda x: module.apply(variables, x)[0].sum(axis=-1))(x)[:, :, 0].sum(axis=-1)
    for row, column in ((0, 0), (3, 6), (7, 9)):
        near = [[abs(i - row // 2) <= 1 and abs(j - column // 2) <= 1 for j in range(5)] for i in range(4)]
        np.testing.assert_array_equal(jacobian[row, column] != 0, near)


def exported(workdir, output, *more, capsys):
    export.main(
        ["--workdir", str(workdir), "--output", str(output), "--hardware", "a machine", "--trained_by", "make", *more]
    )
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("name", ["unconditional", "class_conditional", "with views"])
def test_weights_derive_their_figures_again(name, workdirs, tmp_path, capsys):
    workdir, file = tmp_path / "run", tmp_path / "mine.safetensors"
    if name == "with views":
        run("unconditional", workdir, augment=0.5)
    else:
        workdir = workdirs(name)
    scores = json.loads((workdir / "result.json").read_text())["scores"]
    assert exported(workdir, file, capsys=capsys)["scores"] == scores
    evaluate.main(["--weights", str(file), "--split", "validation"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {*found} == {"weights", "dataset", "split", "images", "nats", "bits_per_dim"}
    assert found["images"] == 64
    np.testing.assert_allclose(found["nats"], scores["validation"]["nats"], rtol=1e-6)
    evaluate.main(["--weights", str(file), "--split", "validation", "--dtype", "bfloat16"])
    half = json.loads(capsys.readouterr().out.splitlines()[-1])["nats"]
    assert 0 < abs(half - found["nats"]) < 0.05 * found["nats"]
    model, variables, card = load_pretrained(file)
    kept = trained.load(workdir).variables if name == "with views" else trained.restore(workdir).params
    jax.tree.map(np.testing.assert_array_equal, variables, kept)
    assert not card["config"]["augment"]  # the views are folded in
    images = some_images(load("digits", "validation", levels=17, labels=True).some(4), 4)
    h = jnp.eye(card["condition"]["h"])[:4] if card["condition"] else None
    assert np.isfinite(log_prob(model, variables, images, h=h)).all()
    with pytest.raises(InputError, match="is there already"):
        export.export(export_arguments(workdir, file))


def export_arguments(workdir, file, **changes):
    given = dict(workdir=workdir, output=file, dtype="float32", hardware="", trained_by="", data_dir=None)
    return argparse.Namespace(**given | changes)


def test_a_figure_is_derived_again_as_a_user_does_it(monkeypatch):
    """In a process of its own, whose devices are still to be chosen."""
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES", raising=False)
    line = [sys.executable, "-m", "experiments.evaluate", "--weights=digits", "--split=validation"]
    done = subprocess.run(line, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    table.compare("digits, validation", found, read_card("digits")[1]["scores"]["validation"])


def test_bfloat16_weights_are_scored_as_they_are(workdirs, tmp_path, capsys):
    workdir, file = workdirs("unconditional"), tmp_path / "half.safetensors"
    found = exported(workdir, file, "--dtype", "bfloat16", capsys=capsys)
    whole = json.loads((workdir / "result.json").read_text())["scores"]
    assert found["scores"]["test"]["nats"] != whole["test"]["nats"]
    np.testing.assert_allclose(found["scores"]["test"]["nats"], whole["test"]["nats"], rtol=1e-2)
    np.testing.assert_allclose(
        evaluate.evaluate(file, "test", None)["nats"], found["scores"]["test"]["nats"], rtol=1e-6
    )


def test_weights_are_scored_by_other_devices_than_those_that_trained(workdirs, tmp_path, capsys):
    file = tmp_path / "mine.safetensors"
    printed = exported(workdirs("unconditional"), file, capsys=capsys)["scores"]["test"]["nats"]
    card = json.loads(file.with_suffix(".json").read_text())
    card["config"] |= {"eval_batch_size": 30, "at_once": 3}  # of three devices; here are eight
    file.with_suffix(".json").write_text(json.dumps(card))
    np.testing.assert_allclose(evaluate.evaluate(file, "test", None)["nats"], printed, rtol=1e-6)


def test_what_no_file_of_weights_can_hold_is_refused(workdirs, tmp_path, monkeypatch):
    config = json.loads((workdirs("class_conditional") / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"map_features": 3}))
    with pytest.raises(InputError, match="is of a run with map_features"):
        export.export(export_arguments(tmp_path, tmp_path / "mine.safetensors"))
    monkeypatch.setattr(export, "MEGABYTES", 0.001)
    with pytest.raises(InputError, match=r"would have 0\.\d MB"):
        export.export(export_arguments(workdirs("unconditional"), tmp_path / "mine.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    monkeypatch.undo()
    shutil.copytree(workdirs("unconditional"), tmp_path / "run")
    (tmp_path / "run/metrics.jsonl").unlink()
    with pytest.raises(OSError, match="metrics"):
        export.export(export_arguments(tmp_path / "run", tmp_path / "mine.safetensors"))
    assert not (tmp_path / "mine.safetensors").exists()


def test_a_failed_export_leaves_nothing_behind(workdirs, tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    for module, writer in ((export, "save_weights"), (export, "atomic_write")):
        monkeypatch.setattr(module, writer, full)
        with pytest.raises(OSError, match="No space"):
            export.export(export_arguments(workdirs("unconditional"), tmp_path / "mine.safetensors"))
        monkeypatch.undo()
        assert not list(tmp_path.iterdir())


def test_damaged_weights_are_refused(workdirs, tmp_path, capsys):
    file = tmp_path / "mine.safetensors"
    exported(workdirs("unconditional"), file, capsys=capsys)
    content, card = file.read_bytes(), json.loads(file.with_suffix(".json").read_text())
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b""):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged"):
            load_pretrained(file)
    file.write_bytes(content)
    file.with_suffix(".json").write_text(json.dumps(card | {"network": "Transformer"}))
    with pytest.raises(InputError, match="cannot build"):
        load_pretrained(file)
    file.with_suffix(".json").write_text(json.dumps(card | {"model": card["model"] | {"features": 9}}))
    with pytest.raises(InputError, match="does not hold the parameters of the network"):
        load_pretrained(file)
    for spoilt in ({"condition": 5}, {"condition": {"h": "x"}}, {"model": [3]}):
        file.with_suffix(".json").write_text(json.dumps(card | spoilt))
        with pytest.raises(InputError, match="cannot build"):
            load_pretrained(file)
    config = card["config"]
    for spoilt in (
        *([], config | {"experiment": "nothing"}, config | {"eval_batch_size": "x"}, config | {"network": "PixelCNN"}),
        config | {"model": config["model"] | {"features": 9}},
    ):
        file.with_suffix(".json").write_text(json.dumps(card | {"config": spoilt}))
        with pytest.raises(InputError, match=r"The card of .* cannot be used"):
            evaluate.evaluate(file, "test", None)
    file.with_suffix(".json").write_text(json.dumps(card | {"images": card["images"] | {"shape": [8, 9, 1]}}))
    with pytest.raises(InputError, match=r"but the weights are of .*8, 9, 1"):
        evaluate.evaluate(file, "test", None)
    del card["scores"]
    file.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="does not say what they were trained and scored on"):
        evaluate.evaluate(file, "test", None)
    file.with_suffix(".json").write_text("{")
    with pytest.raises(InputError, match="is not the card"):
        load_pretrained(file)
    with pytest.raises(InputError, match="There are no weights nothing"):
        load_pretrained("nothing")


def test_a_run_starts_from_weights(workdirs, tmp_path, capsys):
    file = tmp_path / "mine.safetensors"
    exported(workdirs("unconditional"), file, capsys=capsys)
    config = tiny_config("unconditional")
    splits = cli.load_splits(config)
    experiment = cli.starting_from(str(file), unconditional.make_experiment(config, splits))
    jax.tree.map(np.testing.assert_array_equal, experiment.init(jax.random.key(5)), load_pretrained(file).variables)
    wider = tiny_config("unconditional", **{"model.features": 9})
    with pytest.raises(InputError, match=r"weights of another network: .* is \(8,\) there, and \(9,\)"):
        cli.starting_from(str(file), unconditional.make_experiment(wider, splits))


def test_the_table_of_the_readme_is_that_of_the_cards():
    _, found, _ = table.split_readme(table.README.read_text())
    lines = [table.row(table.COLUMNS), table.row(["---"] * len(table.COLUMNS))]
    for name in pretrained_names():
        lines += [table.row(cells) for cells in table.rows_of(name, load_pretrained(name).card)]
    assert found.splitlines() == lines


NATS_OF_A_PATTERN = {
    "binarized_mnist": 70.1250,
    "binarized_mnist_diagonal_bilstm_minutes": 91.6105,
    "binarized_mnist_gated_minutes": 113.6894,
    "binarized_mnist_pixelcnn_minutes": 114.4106,
    "binarized_mnist_row_lstm_minutes": 81.5548,
    "cifar10_small": 1597.5750,
    "cifar10_small_mixture": 2088.5852,
    "cifar10_small_pixelcnn": 1418.7997,
    "digits": 818.7372,
    "mnist_classes": 75.8968,
    "mnist_half": 101.8411,
    "mnist_small": 1454.3818,
}


def nats_of_a_pattern(name):
    model, variables, card = load_pretrained(name)
    shape = (1, 12, 12, model.channels)
    pattern = (np.arange(math.prod(shape)) * 7 // 3 % model.levels).reshape(shape)
    h = jnp.eye(card["condition"]["h"])[:1] if card["condition"] else None
    return float(-log_prob(model, variables, pattern, h=h)[0])


@pytest.mark.parametrize("name", pretrained_names())
def test_weights_compute_what_they_did(name):
    """Without their data: whatever reorders what a kernel's numbers mean would make noise of them."""
    np.testing.assert_allclose(nats_of_a_pattern(name), NATS_OF_A_PATTERN[name], rtol=1e-4)


def test_a_figure_that_differs_is_told():
    printed = {"images": 7, "nats": 80.123, "bits_per_dim": 1.80611}
    table.compare("mine, test", printed | {"nats": 80.1231}, printed)
    for other in ({"images": 6}, {"nats": 80.128}, {"nats": math.nan}, {"bits_per_dim": 1.80621}):
        with pytest.raises(table.DifferentError, match="mine, test"):
            table.compare("mine, test", printed | other, printed)


def test_the_gaussian_by_hand():
    """Of one sub-pixel and of two: the mean over the noise, by many values of it."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 5, (50, 1, 2, 1)) + generator.integers(0, 3, (50, 1, 1, 1))
    split = from_array(images, levels=7)
    flat = images.reshape(50, 2)
    noisy = flat[None] + (np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1).reshape(-1, 1, 2) + 0.5) / 40
    density = stats.multivariate_normal(flat.mean(axis=0) + 0.5, np.cov(flat.T, bias=True) + np.eye(2) / 12)
    expected = -density.logpdf(noisy).mean()
    np.testing.assert_allclose(gaussian_nats(multivariate_gaussian(split), split), expected, rtol=1e-4)


READS_A_CONFIG = "ignore:the load_module:DeprecationWarning"  # as ml_collections does


@pytest.mark.filterwarnings(READS_A_CONFIG)
def test_the_floor_of_large_images_has_no_gaussian(capsys, monkeypatch):
    monkeypatch.setattr(floor, "MOST", 63)
    floor.main(["floor", "--config=configs/digits.py"])
    captured = capsys.readouterr()
    assert {*json.loads(captured.out.splitlines()[-1])["scores"]} == {"uniform", "independent pixels"}
    assert "No Gaussian of 64 sub-pixels" in captured.err


CONFIG = "from configs import base\n\ndef get_config():\n    config = base.get_config()\n    {}\n    return config\n"


@pytest.mark.filterwarnings(READS_A_CONFIG)
@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        (CONFIG.format("config.stepss = 3"), [], "The config has no such field: .*stepss"),
        (CONFIG.format("config.model.feature = 3"), [], "The config has no such field: .*feature"),
        (CONFIG.format("config.steps = stepz"), [], "^name 'stepz' is not defined"),
        (CONFIG.format("config.steps = 'many'"), [], "^TypeError: .*many"),
        (CONFIG.format("config.steps = 1 // 0"), [], "division"),
        ("from ml_collections import ConfigDict\nget_config = lambda: ConfigDict(dict(seed=0))\n", [], "make it of"),
        (CONFIG.format("pass"), ["--config.encoder_features[0]=16"], "--help lists"),
        (
            CONFIG.format("pass"),
            ["--coordinator=a:1", "--processes=0", "--process=0"],
            "--processes must be at least 1",
        ),
    ],
)
def test_what_is_wrong_in_a_config_is_one_sentence(tmp_path, content, arguments, told):
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(InputError, match=told) as found:
        cli.parse(["run", f"--config={tmp_path / 'mine.py'}", f"--workdir={tmp_path}", *arguments])
    assert "\n" not in str(found.value)
    assert "Traceback" not in str(found.value)


@pytest.mark.parametrize(
    ("cores", "sizes", "processes", "found"),
    [
        (8, (64, 64, None), 1, 8),
        (6, (64, 64, None), 1, 4),
        (3, (64, 128, None), 1, 2),
        (8, (64, 96, 4), 1, 4),
        (8, (64, 36, None), 1, 4),
        (8, (64, 64, 8), 2, 4),
        (5, (9, 64, None), 1, 1),
    ],
)
def test_as_many_cores_become_devices_as_divide_the_batches(monkeypatch, cores, sizes, processes, found):
    config = base.get_config()
    config.batch_size, config.eval_batch_size, config.at_once = sizes
    updates = {}
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    monkeypatch.setattr(jax.config, "update", updates.__setitem__)
    cli.use_all_cores(config, processes=processes)
    assert updates == {"jax_num_cpu_devices": found}


@pytest.mark.filterwarnings(READS_A_CONFIG)
def test_the_home_folder_of_a_command_line(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    parsed = cli.parse(["run", "--config=configs/digits.py", "--workdir=~/runs"])
    assert parsed.workdir == cli.a_path("~/runs") == Path("/home/somebody/runs")


def test_fields_are_looked_at_before_the_data(tmp_path):
    config = tiny_config("unconditional", dataset="folder", data_dir="nowhere", learning_rate=0.0)
    with pytest.raises(InputError, match="learning_rate"):
        cli.run("experiments.unconditional", unconditional.make_experiment, config, tmp_path / "new")


@pytest.mark.filterwarnings(READS_A_CONFIG)
def test_the_floor_is_one_command(capsys):
    floor.main(["floor", "--config=configs/digits.py"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["scores"]
    bits = {name: [round(found[name][split]["bits_per_dim"], 2) for split in found[name]] for name in found}
    assert bits == {"uniform": [4.09, 4.09], "independent pixels": [2.49, 2.4], "multivariate Gaussian": [3.1, 2.96]}
