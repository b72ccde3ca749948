"""Captions, and a reader of ``mnist_scenes`` by bounding boxes and a classifier."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from experiments.shared.measuring import Draw, check_classifier, draw_in_parts
from pixelcnn_jax import InputError, load_pretrained
from pixelcnn_jax.data.dataset import Dataset, read_all
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.scenes import MARGIN, SCENES, Scene
from pixelcnn_jax.models.inputs import ImageSpec, apply_jitted
from pixelcnn_jax.training.config import RunConfig, run_keys
from pixelcnn_jax.training.experiment import Batch, Figures

Image = Int[np.ndarray, "height width 1"]
Captions = Int[np.ndarray, "captions words"]


def check_reader(config: RunConfig, splits: Splits) -> None:
    """Raises InputError if ``classifier`` is set and cannot read these scenes."""
    spec = splits.spec
    upright = config.data.scan == "rows" and not config.data.invert
    if config.section.classifier is not None and not (upright and spec.classes == len(SCENES)):
        raise InputError("config.captions.classifier needs mnist_scenes with labels, without scan or invert.")
    size = spec.height // 2 - MARGIN
    check_classifier(config, splits, ImageSpec(size, size, 1, spec.levels, 10))


def windows(image: Image) -> dict[str, Image]:
    """Crops a window around each digit, by place.

    Ink within one quarter is one digit, other ink two, along the longer side of its bounding box.
    """
    rows, columns = (np.flatnonzero(image.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    if not rows.size:
        return {}
    half = len(image) // 2
    upright, sideways = (("top", "bottom"), ("left", "right"))
    if len({*(rows >= half)}) == len({*(columns >= half)}) == 1:
        return {f"{upright[rows[0] // half]} {sideways[columns[0] // half]}": _window(image)}
    if np.ptp(rows) > np.ptp(columns):
        return dict(zip(upright, map(_window, np.split(image, 2)), strict=True))
    return dict(zip(sideways, map(_window, np.split(image, 2, axis=1)), strict=True))


def _window(image: Int[np.ndarray, "rows columns 1"]) -> Image:
    size = max(image.shape) // 2 - MARGIN
    window = np.zeros((size, size, 1), image.dtype)
    if image.any():
        edges = [np.flatnonzero(image.any(axis=axes)) for axes in ((1, 2), (0, 2))]
        ink = image[edges[0][0] : edges[0][-1] + 1, edges[1][0] : edges[1][-1] + 1][:size, :size]
        top, left = ((size - length) // 2 for length in ink.shape[:2])
        window[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return window


def recognise(
    images: Int[np.ndarray, "count height width 1"], digits_of: Callable[[np.ndarray], np.ndarray]
) -> list[Scene]:
    """Reads scenes; ``digits_of`` maps windows [n, size, size, 1] to digits [n]."""
    scenes = [windows(image) for image in images]
    crops = [window for scene in scenes for window in scene.values()]
    digits = iter(digits_of(np.stack(crops)).tolist() if crops else ())
    return [Scene(tuple(next(digits) for _ in scene), tuple(scene)) for scene in scenes]


def accuracy_of_scenes(config: RunConfig, split: Dataset, draw: Draw) -> Figures:
    """Measures the fractions of samples and real images that match their captions.

    Args:
      config: names the classifier; without one there are no figures.
      split: source of captions.
      draw: draws an image per caption.
    """
    if config.section.classifier is None:
        return {}
    network, variables, _ = load_pretrained(config.section.classifier)
    asked = read_all(split.subset(config.train.report_samples))
    drawn = draw_in_parts(draw, run_keys(config).report, asked["caption"])

    def right(images: np.ndarray) -> tuple[float, float]:
        scenes = recognise(images, lambda x: np.argmax(apply_jitted(network, variables, x), axis=1))
        pairs = list(zip(scenes, [SCENES[label] for label in asked["label"]], strict=True))
        return float(np.mean([a == b for a, b in pairs])), float(np.mean([a.places == b.places for a, b in pairs]))

    (samples, places), (images, _) = right(drawn), right(asked["image"])
    return {"samples": len(drawn), "samples_right": samples, "places_right": places, "real_images_read_right": images}


def one_caption_of_each(batches: Sequence[Batch], classes: int | None) -> tuple[list[np.ndarray], Captions]:
    """Picks one caption per labelled scene, else all; also indexes them per image."""
    captions = np.concatenate([batch["caption"] for batch in batches])
    of_scenes = classes == len(SCENES)
    meanings = np.concatenate([batch["label"] for batch in batches])[:, None] if of_scenes else captions
    _, first, index = np.unique(meanings, axis=0, return_index=True, return_inverse=True)
    ends = np.cumsum([len(batch["caption"]) for batch in batches])[:-1]
    return np.split(index.reshape(-1), ends), captions[first]


def word_by_word(start: Int[np.ndarray, " words"], captions: Captions, count: int) -> Int[np.ndarray, "{count} words"]:
    """Walks through distinct captions, one changed word at a time."""
    walk, turns = [start], np.zeros(len(start), int)
    candidates = np.unique(captions, axis=0)
    while len(walk) < count:
        unseen = candidates[(candidates[:, None] != np.stack(walk)[None]).any(axis=2).all(axis=1)]
        near = unseen[np.sum(unseen != walk[-1], axis=1) == 1]
        changed = np.argmax(near != walk[-1], axis=1)
        walk.append(near[np.argmin(turns[changed])] if len(near) else walk[-1])
        turns += walk[-1] != walk[-2]
    return np.stack(walk)
