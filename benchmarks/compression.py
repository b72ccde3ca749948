"""Compressed size and speed of a split, by the codec and by image formats.

The codec writes one file; every file is decoded and compared. PNG, WebP and JPEG XL encode each image, headers
included, and all images as one picture. Binary images have one bit in PNG, 0 and 255 elsewhere. Times include
compilation.

--damage=N decodes the first stream after cuts at every tenth and after each of N bit flips; all should be refused.
"""

import dataclasses
import json
import math
import time
from io import BytesIO
from typing import Any

import click
import imagecodecs
import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from pixelcnn_jax import InputError, compress, decompress, log_prob
from pixelcnn_jax.cli.options import load_density
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.pictures import as_pixels
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.zoo.pretrained import integer_model_of


def bits(size: float, images: np.ndarray) -> float:
    return 8 * size / images.size


def png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def webp(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.convert("RGB").save(buffer, "webp", lossless=True, quality=100, method=6)
    return buffer.getvalue()


def jpegxl(picture: Image.Image) -> bytes:
    pixels = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=9))


def decode_picture(data: bytes) -> Any:
    return np.asarray(Image.open(BytesIO(data)))


FORMATS = {"PNG": (png, decode_picture), "WebP": (webp, decode_picture), "JPEG XL": (jpegxl, imagecodecs.jpegxl_decode)}


def as_picture(image: np.ndarray, levels: int) -> Image.Image:
    pixels = as_pixels(image, levels=levels)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return picture.convert("1", dither=Image.Dither.NONE) if levels == 2 and picture.mode == "L" else picture


def tile(images: np.ndarray) -> np.ndarray:
    count, height, width, channels = images.shape
    side = math.ceil(math.sqrt(count))
    full = np.zeros((side * math.ceil(count / side), height, width, channels), images.dtype)
    full[:count] = images
    return full.reshape(-1, side, height, width, channels).swapaxes(1, 2).reshape(-1, side * width, channels)


def is_refused(model: Any, variables: Any, data: bytes) -> bool:
    try:
        decompress(model, variables, data)
    except InputError:
        return True
    return False


def damage(data: bytes, flips: int) -> list[bytes]:
    """Yields a stream cut at every tenth of its length, then with bits flipped."""
    streams = [data[: len(data) * tenth // 10] for tenth in range(10)]
    for position in np.random.default_rng(0).integers(8 * len(data), size=flips):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        streams.append(bytes(flipped))
    return streams


@click.command(cls=UserCommand, help=__doc__)
@click.option("--model", "name", default="binarized_mnist", show_default=True, help="Published name or integer model.")
@click.option("--images", "count", default=10_000, show_default=True, help="Number of images, from the first on.")
@click.option("--data-dir", help="TFDS data directory. [default: that of TFDS]")
@click.option("--batch-sizes", default="256", show_default=True, help="Images of a group, several sizes by commas.")
@click.option("--rounds", default=1, show_default=True, help="Times that the codec runs; the first compiles.")
@click.option("--damage", "flips", default=0, show_default=True, help="Number of bits to flip, one at a time.")
def main(name: str, count: int, data_dir: str | None, batch_sizes: str, rounds: int, flips: int) -> None:
    density = load_density(integer_model_of(name))
    model, variables = density.model, density.variables
    data = vars(density.data) | {"data_dir": data_dir}
    dataset = load(split=data["test_split"], **data)
    images = read_all(dataclasses.replace(dataset, count=min(count, len(dataset))))["image"]
    result: dict[str, Any] = {"benchmark": "compression", "data": dataset.description, "images": len(images)}
    result["device"] = jax.devices()[0].device_kind
    print(f"{dataset.description}, {len(images)} images\n\n{'':24} bits per sub-pixel   images/s encoded, decoded")

    ideal = 0.0  # bytes
    for part in np.array_split(images, math.ceil(len(images) / 250)):
        ideal -= float(np.sum(np.asarray(log_prob(model, variables, part)), dtype=np.float64)) / math.log(2) / 8
    result["model_bits_per_dim"] = bits(ideal, images)
    print(f"{'the model itself':24} {result['model_bits_per_dim']:18.4f}")
    coded = b""
    for size in map(int, batch_sizes.split(",")):
        for _ in range(rounds):  # the last counts
            began = time.perf_counter()
            stream = compress(model, variables, images, batch_size=size, verify=False)
            encoded = time.perf_counter()
            decoded = decompress(model, variables, stream)
            rates = len(images) / (encoded - began), len(images) / (time.perf_counter() - encoded)
        same = bool((decoded == images).all())
        result[f"groups of {size}"] = row = {"bits_per_dim": bits(len(stream), images), "decoded_is_same": same}
        row |= {"over_model": len(stream) / ideal, "encoded_per_second": rates[0], "decoded_per_second": rates[1]}
        _print_row(f"codec, groups of {size}", row["bits_per_dim"], *rates)
        coded = coded or stream
    if flips:
        streams = damage(coded, flips)
        refused = sum(is_refused(model, variables, stream) for stream in tqdm(streams, disable=None))
        result |= {"damaged": len(streams), "damaged_refused": refused}
    if model.levels <= 256 and model.channels in (1, 3):
        for kind, (encode, decode) in FORMATS.items():
            result[kind] = _measure(kind, encode, decode, images, model.levels)
    print(json.dumps(result))


def _measure(kind: str, encode: Any, decode: Any, images: np.ndarray, levels: int) -> dict[str, float]:
    pictures = [as_picture(image, levels) for image in images]
    began = time.perf_counter()
    files = [encode(picture) for picture in pictures]
    encoded = time.perf_counter()
    for file in files:
        decode(file)
    rates = len(images) / (encoded - began), len(images) / (time.perf_counter() - encoded)
    file_bits, whole = bits(sum(map(len, files)), images), bits(len(encode(as_picture(tile(images), levels))), images)
    _print_row(f"{kind}, a file per image", file_bits, *rates)
    print(f"{kind + ', one picture':24} {whole:18.4f}", flush=True)
    row = {"a_file_per_image": file_bits, "one_picture": whole}
    return row | {"encoded_per_second": rates[0], "decoded_per_second": rates[1]}


def _print_row(kind: str, size: float, encoded: float, decoded: float) -> None:
    print(f"{kind:24} {size:18.4f} {encoded:18.1f} {decoded:8.1f}", flush=True)


if __name__ == "__main__":
    main()
