"""Experiments small enough for a test: settings, splits and runs of two steps."""

import dataclasses

import jax
import numpy as np
import proofs
from array_sets import from_array

from experiments import default_config, recipe_of
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import Splits, load_splits
from pixelcnn_jax.training.config import parse_config
from pixelcnn_jax.training.run import train

TINY = {
    "data.labels": True,
    "data.train_split": "train[:64]",
    "data.validation_split": "validation[:64]",
    "data.test_split": "test[:64]",
    "model.features": 8,
    "model.layers": 1,
    "model.dropout": 0.1,
    "train.steps": 2,
    "train.batch_size": 16,
    "train.microbatch_size": 2,
    "train.eval_batch_size": 32,
    "train.sample_rows": 4,
    "train.sample_columns": 4,
    "train.report_images": 64,
    "train.report_samples": 16,  # as many as the picture shows, which saves a compilation
    # The experiment's own, where it has them.
    "settings.encoder_features": (8, 8),
    "settings.bottleneck": 6,
    "settings.report_episodes": 4,
    "settings.small_layers": 1,
    "settings.rotate": True,
    "settings.embedding_noise": 0.1,
    "settings.free_nats": 0.1,
    "settings.factor": 2,
    "settings.digits": 2,
    "settings.digit_values": 4,
    "settings.features": 8,
    "settings.blocks": 1,
}
ONLY = {
    "embedding": {"train.microbatch_size": None, "data.images_per_class": 2},
    "autoencoder": {"settings.map_features": 3},
    "class_conditional": {"settings.map_features": 3},
    "codes": {"settings.show_nearest": True, "train.sample_columns": 2},
    "few_shot": {"data.max_examples": 3, "settings.alphabets": ("test where label is below 5",)},
}
NEEDS = {
    "class_conditional": {"settings.classifier": "classifier"},
    "embedding_conditional": {"settings.embedder": "embedding"},
    "multiscale": {"settings.classifier": "classifier"},
    "codes": {"settings.tokenizer": "tokenizer"},
}


def settings_of(name, changes=None):
    """Returns a typed config; ``changes`` are by "group.field", the experiment's own group being called settings."""
    config, recipe = default_config(name), recipe_of(name)
    fields = {f"settings.{field.name}" for field in dataclasses.fields(recipe.Config)}
    settings = {key: x for key, x in TINY.items() if not key.startswith("settings.") or key in fields}
    for key, value in (settings | ONLY.get(name, {}) | (changes or {})).items():
        group, field = key.replace("settings.", f"{name}.").split(".")
        config[group][field] = value
    return parse_config(config, recipe.Config)


def tiny_splits(config):
    """Returns splits of digits, with captions or in colour where they are needed."""
    change = {"captions": captioned, "colourise": coloured}.get(config.experiment, lambda dataset: dataset)
    return Splits(*(change(dataset) for dataset in load_splits(config.data)))


def coloured(dataset):
    batch = read_all(dataset)
    return from_array(batch["image"] // np.array([1, 2, 3]), batch["label"], levels=17, classes=10)


def captioned(dataset):
    """Digits with sentences of one or two words; without labels all have the same."""
    words = ("a", *"0123456789")

    def example(index):
        actual = dataset.example(index)
        label = int(actual.get("label", 0))
        return actual | {"caption": np.array([1 + label, 0] if index % 2 else [1, 2 + label], np.int32)}

    return dataclasses.replace(dataset, example=example, spec=dataclasses.replace(dataset.spec, words=words))


def tiny_experiment(name, changes=None, prepared=None, spec=None):
    """Returns an experiment with random parameters, and its splits; needs no training."""
    config = settings_of(name, changes)
    splits = tiny_splits(config)
    experiment = recipe_of(name).make_experiment(config, spec or splits.spec, prepared)
    return experiment, randomised(experiment), splits


def randomised(experiment, scale=0.0):
    params = jax.jit(experiment.init)(jax.random.key(0))
    return proofs.randomised(params, scale=scale) if scale else params


def tiny_run(name, workdir, changes=None):
    """Trains for two steps in a workdir; returns the result."""
    config = settings_of(name, changes)
    return train(config, recipe_of(name), tiny_splits(config), workdir)
