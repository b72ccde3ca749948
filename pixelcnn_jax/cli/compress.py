"""The verbs ``compress`` and ``decompress``: image files to one file and back, to the last bit.

Images of one size are in one part of the file, a container that ``pixelcnn_jax.decompress`` reads; the names of its
images are kept in it.
"""

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import numpy as np

from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.names import Names, check_names, pack_names, unpack_names
from pixelcnn_jax.cli.options import Density
from pixelcnn_jax.cli.pictures import find_images, read_exact, reoriented, to_pixels
from pixelcnn_jax.codec import coding
from pixelcnn_jax.codec.coding import integer_network
from pixelcnn_jax.codec.container import Container, check_size, length_of, unpack
from pixelcnn_jax.codec.groups import digest_of_integers
from pixelcnn_jax.data.image_files import png_bits_per_dim, write_image
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.pretrained import integer_model_of, pretrained_names, read_card

DEFAULT_MAX_SUBPIXELS = 2**25  # that ``decompress`` takes unasked: 10,000 images of CIFAR-10 are fewer
SUBPIXELS_PER_SECOND = 120_000  # at least, by the published models on one CPU core: docs/integer_codec.md


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE_OR_FOLDER...", type=options.PATH, nargs=-1, required=True)
@options.output_option("File to write")
@options.label_option
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=256, show_default=True, help="Images coded at a time."
)
@click.option("--verify/--no-verify", default=True, show_default=True, help="Decode and compare before writing.")
@options.json_option
def compress(
    name: str,
    files: tuple[Path, ...],
    output: Path,
    label: str | None,
    batch_size: int,
    verify: bool,
    as_json: bool,
) -> None:
    """Compress image files into one file, without loss.

    MODEL is a published model that has an integer model, or the folder or file of an integer model. Any machine reads
    the file. Images of any sizes share a few programs, which take some seconds to compile.
    """
    options.check_output(output)
    density = options.load_density(integer_model_of(name))
    integer_network(density.model)
    named = find_named(files)
    by_shape: dict[tuple[int, ...], dict[str, np.ndarray]] = {}
    for one, file in named.items():
        image = reoriented(read_exact(file, density), density)
        by_shape.setdefault(image.shape, {})[one] = image
    sizes: list[coding.Uncoded] = []
    for images in by_shape.values():
        alike = batch_size if len(by_shape) == 1 else 16 if len(images) >= 16 else 1  # to share their programs
        h, names = density.h_of(label, len(images)), pack_names([*images], part=len(sizes), parts=len(by_shape))
        sizes.append(coding.Uncoded(np.stack([*images.values()]), h, None, min(batch_size, alike), names))
    rows = sum(-(-len(one.images) // one.batch_size) * one.images.shape[1] for one in sizes)
    with options.progress("compressing", rows * (1 + verify)) as on_row:
        data = b"".join(coding.compress_sizes(density.model, density.variables, sizes, verify=verify, on_row=on_row))
    atomic_write(output, data)
    every = [image for images in by_shape.values() for image in images.values()]
    subpixels, levels = sum(image.size for image in every), density.model.levels
    png = sum(round(png_bits_per_dim(image, levels=levels) * image.size / 8) for image in every)
    note = f", by {density.name}"
    if subpixels > DEFAULT_MAX_SUBPIXELS:
        note += f": decompress them with --max-subpixels={subpixels}"
    if png < len(data):
        note += f"\nPNG would be smaller: {png:,} bytes."
    _report(len(named), len(data), subpixels, output, as_json, note=note, model=density.name, png_bytes=png)


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE...", type=options.PATH, nargs=-1, required=True)
@options.output_option("Folder to write")
@options.label_option
@click.option(
    "--max-subpixels",
    type=click.IntRange(1),
    default=DEFAULT_MAX_SUBPIXELS,
    show_default=True,
    help="Refuse files that declare more in all.",
)
@options.json_option
def decompress(
    name: str, files: tuple[Path, ...], output: Path, label: str | None, max_subpixels: int, as_json: bool
) -> None:
    """Decompress files of `compress` into a folder of PNGs.

    The folder must be new or empty, and appears when all are written.
    """
    options.check_output(output, folder=True)
    target = output.resolve()
    read_card(integer_model_of(name))  # a wrong name is found before the files are read
    parts = [part for file in files for part in read_parts(file)]
    check_names([one for part in parts for one in part.names.names])
    subpixels = sum(math.prod(part.container.shape) for part in parts)
    check_work(subpixels, max_subpixels)
    density = load_coder(name, parts[0].container)
    rows = sum(len(part.container.streams) * part.container.shape[1] for part in parts)
    with (
        TemporaryDirectory(prefix=".pixelcnn", dir=target.parent) as folder,
        options.progress("decompressing", rows) as on_row,
    ):
        images = Path(folder) / "images"
        images.mkdir()
        coded = [(part.container, density.h_of(label, len(part.names.names)), None) for part in parts]
        decoded = coding.decompress_sizes(density.model, density.variables, coded, on_row=on_row)
        for part, pictures in zip(parts, decoded, strict=True):
            for one, image in zip(part.names.names, pictures, strict=True):
                file = images / one
                if file.exists():
                    raise InputError(f"{one} exists here where case makes no difference: decompress elsewhere.")
                file.parent.mkdir(parents=True, exist_ok=True)
                write_image(file, to_pixels(reoriented(image, density), density))
        if target.exists():  # an empty folder; it stays, since it may be the current one
            for path in images.iterdir():
                path.rename(target / path.name)
        else:
            images.rename(target)
    count, size = sum(len(part.names.names) for part in parts), sum(len(part.data) for part in parts)
    _report(count, size, subpixels, output, as_json)


class Part(NamedTuple):
    """A part of a compressed file: a container, as bytes and read, and what it says of its images."""

    data: bytes
    container: Container
    names: Names


def find_named(places: tuple[Path, ...]) -> dict[str, Path]:
    """Returns image files as ``find_images`` does, by the names that they keep in a compressed file.

    Raises:
      InputError: for names that not every system takes, or that differ in their endings alone.
    """
    images = find_images(places)
    names = [Path(name).with_suffix(".png").as_posix() for name in images]
    try:
        check_names(names)
    except InputError as error:
        raise InputError(f"{', '.join(map(str, places))} cannot be compressed: {error}.") from None
    return dict(zip(names, images.values(), strict=True))


def check_work(subpixels: int, most: int) -> None:
    """Raises InputError if files declare more sub-pixels than the user wants decoded, and says how long they take."""
    if subpixels > most:
        minutes = math.ceil(subpixels / SUBPIXELS_PER_SECOND / 60)
        raise InputError(
            f"--max-subpixels must be at least {subpixels} to decompress these images, which takes about {minutes} "
            f"minutes of a CPU core; it is {most}."
        )


def load_coder(name: str, container: Container) -> Density:
    """Returns the model that compressed a file: the integer model of the one that is named.

    Raises:
      InputError: if it was a different integer model, which is named if it is a published one.
    """
    density = options.load_density(integer_model_of(name))
    if is_of(container, density):
        return density
    others = (options.load_density(one) for one in pretrained_names() if one.endswith("_integer"))
    right = next((f": it was {one.name}" for one in others if is_of(container, one)), "")
    raise InputError(f"{name} is not the model that compressed these images{right}.")


def is_of(container: Container, density: Density) -> bool:
    """Whether an integer model compressed the images of a container."""
    return container.model == digest_of_integers(integer_network(density.model), density.variables)


def read_parts(file: Path) -> list[Part]:
    """Returns the containers in a compressed file, with the names of the images in each.

    Raises:
      InputError: if the file is damaged or incomplete.
    """
    data = file.read_bytes()
    parts: list[Part] = []
    start = 0
    try:
        while start < len(data) or not parts:
            part = data[start : start + length_of(data[start : start + 64])]
            container = unpack(part)
            check_size(container.shape)
            names = unpack_names(container.extra, container.shape[0])
            parts.append(Part(part, container, names))
            start += len(part)
        if [part.names[:2] for part in parts] != [(number, len(parts)) for number in range(len(parts))]:
            raise InputError(f"it holds {len(parts)} of {parts[0].names.parts} parts, or in a different order")
    except InputError as error:
        raise InputError(f"{file} cannot be decompressed: {error}") from None
    return parts


def _report(
    count: int, size: int, subpixels: int, output: Path, as_json: bool, *, note: str = "", **facts: Any
) -> None:
    bits = 8 * size / subpixels
    summary: dict[str, Any] = {"images": count, "bytes": size, "bits_per_dim": bits, "output": str(output)} | facts
    sentence = f"{output}: {count} images, {size:,} bytes compressed, {bits:.4f} bits/dim{note}"
    options.report(summary, sentence, as_json=as_json)
