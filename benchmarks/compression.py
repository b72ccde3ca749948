"""Bytes of a test split in lossless formats and by the codec with a trained model, in bits a sub-pixel.

python -m benchmarks.compression --workdir=DIR [--split=test] [--images=10000] [--data_dir=DIR]
python -m benchmarks.compression --config=configs/cifar10.py --images=256 --batch_size=128   (an untrained model)

All images by the codec are one file, and one stream; it is decoded again, and compared. PNG, WebP and JPEG XL are given
each image by itself, as a file of its own, headers included ("a file each"), and all images as one, tiled into a square
("one picture"). Binary images are given to PNG as pictures of one bit, to the others as 0 and 255.

With --damage=N the stream is decoded again after it was cut at every tenth of its length, and N times after one bit of
it was flipped: each must be refused.
"""

import json
import math
import runpy
import time
from io import BytesIO
from typing import Any

import imagecodecs
import jax
import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict
from PIL import Image
from tqdm import tqdm

from experiments import cli, trained
from pixelcnn_jax import GatedPixelCNN, InputError, compress, decompress, log_prob
from pixelcnn_jax.data.dataset import evaluation_batches
from pixelcnn_jax.data.image_files import as_pixels
from pixelcnn_jax.models.parameters import Params

WORKDIR = flags.DEFINE_string("workdir", None, "whose model compresses")
CONFIG = flags.DEFINE_string("config", None, "or a config, whose untrained model compresses")
DAMAGE = flags.DEFINE_integer("damage", 0, "how many streams with a flipped bit are tried")
SPLIT = flags.DEFINE_string("split", "test", "which images")
IMAGES = flags.DEFINE_integer("images", 10_000, "how many of them, from the first on")
DATA_DIR = flags.DEFINE_string("data_dir", None, "where TFDS keeps its data sets")
BATCH = flags.DEFINE_integer("batch_size", 500, "images computed at once")


def bits(size: float, images: np.ndarray) -> float:
    """Bytes as bits a sub-pixel."""
    return 8 * size / images.size


def png(picture: Image.Image) -> bytes:
    """Pillow's PNG, as small as it can."""
    buffer = BytesIO()
    picture.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def webp(picture: Image.Image) -> bytes:
    """Lossless WebP, as small as Pillow can."""
    buffer = BytesIO()
    picture.convert("RGB").save(buffer, "webp", lossless=True, quality=100, method=6)
    return buffer.getvalue()


def jpegxl(picture: Image.Image) -> bytes:
    """Lossless JPEG XL at effort 9."""
    pixels = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=9))


FORMATS = {"PNG": png, "WebP": webp, "JPEG XL": jpegxl}


def as_picture(image: np.ndarray, levels: int) -> Image.Image:
    """A Pillow image of [height, width, channels] levels."""
    pixels = as_pixels(image, levels=levels)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return picture.convert("1", dither=Image.Dither.NONE) if levels == 2 else picture


def tiled(images: np.ndarray) -> np.ndarray:
    """All images as one, in rows as long as there are rows, filled up with zeros."""
    count, height, width, channels = images.shape
    side = math.ceil(math.sqrt(count))
    full = np.zeros((side * math.ceil(count / side), height, width, channels), images.dtype)
    full[:count] = images
    rows = full.reshape(-1, side, height, width, channels).swapaxes(1, 2)
    return rows.reshape(-1, side * width, channels)


def untrained(path: str) -> tuple[GatedPixelCNN, Params, ConfigDict]:
    """The model of a config as it begins."""
    config = runpy.run_path(path)["get_config"]()
    config.data_dir = DATA_DIR.value
    height, width, channels = cli.load_split(config, SPLIT.value).shape
    model = GatedPixelCNN(levels=config.levels, channels=channels, **config.model)
    return model, dict(model.init(jax.random.key(0), np.zeros((1, height, width, channels), np.int32))), config


def refused(model: GatedPixelCNN, variables: Params, data: bytes) -> bool:
    """Whether a stream is refused in a sentence."""
    try:
        decompress(model, variables, data)
    except InputError:
        return True
    return False


def damaged(data: bytes, flips: int) -> list[bytes]:
    """A stream cut at every tenth of its length, and with one bit flipped."""
    generator = np.random.default_rng(0)
    streams = [data[: len(data) * tenth // 10] for tenth in range(10)]
    for position in generator.integers(8 * len(data), size=flips):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        streams.append(bytes(flipped))
    return streams


def main(_: list[str]) -> None:
    """Prints a table and, last, all of it as JSON."""
    if CONFIG.value:
        model, variables, config = untrained(CONFIG.value)
    else:
        model, variables, _, config = trained.load(WORKDIR.value)
    if DATA_DIR.value:
        config.data_dir = DATA_DIR.value
    split = cli.load_split(config, SPLIT.value)
    batches = evaluation_batches(split, batch_size=BATCH.value)
    images = np.concatenate([batch["image"][batch["mask"]] for batch in batches])[: IMAGES.value]
    ideal = 0.0
    for part in np.array_split(images, math.ceil(len(images) / BATCH.value)):
        ideal -= float(np.sum(np.asarray(log_prob(model, variables, part)), dtype=np.float64)) / math.log(2) / 8

    began = time.perf_counter()
    data = compress(model, variables, images, batch_size=BATCH.value, verify=False)
    encoded = time.perf_counter()
    same = bool((decompress(model, variables, data) == images).all())
    decoded = time.perf_counter()

    result: dict[str, Any] = {
        "benchmark": "compression",
        "data": split.description,
        "images": len(images),
        "device": jax.devices()[0].device_kind,
        "model_bits_per_dim": bits(ideal, images),
        "codec_bits_per_dim": bits(len(data), images),
        "bytes_over_model": len(data) / ideal,
        "decoded_is_same": same,
        "encoded_images_per_second": len(images) / (encoded - began),
        "decoded_images_per_second": len(images) / (decoded - encoded),
    }
    print(f"{split.description}, {len(images)} images\n")
    print(f"{'':24} {'bits a sub-pixel':>16}")
    print(f"{'the model, exactly':24} {result['model_bits_per_dim']:16.4f}")
    print(f"{'codec, one file':24} {result['codec_bits_per_dim']:16.4f}", flush=True)
    if DAMAGE.value:
        streams = damaged(data, DAMAGE.value)
        result["damaged"] = len(streams)
        result["damaged_refused"] = sum(refused(model, variables, stream) for stream in tqdm(streams, disable=None))
    if model.levels <= 256 and model.channels in (1, 3):
        for name, encode in FORMATS.items():
            each = bits(sum(len(encode(as_picture(image, model.levels))) for image in images), images)
            whole = bits(len(encode(as_picture(tiled(images), model.levels))), images)
            print(f"{name + ', a file each':24} {each:16.4f}\n{name + ', one picture':24} {whole:16.4f}", flush=True)
            result[name] = {"a_file_each": each, "one_picture": whole}
    print(json.dumps(result))


if __name__ == "__main__":
    logging.set_verbosity(logging.ERROR)
    app.run(main)
