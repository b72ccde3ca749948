"""The commands ``compress`` and ``decompress``, whose file holds one container for each size of image."""

import math
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.image_levels import find_images, join_stacks, read_exact, reoriented, stored_name, to_pixels
from pixelcnn_jax.cli.names import Names, check_names, pack_names, unpack_names
from pixelcnn_jax.codec import coding
from pixelcnn_jax.codec.container import MAX_ROW, Container, check_size, length_of, unpack
from pixelcnn_jax.data.pictures import png_bits_per_dim, write_image
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.zoo.pretrained import integer_model_of

DEFAULT_MAX_SUBPIXELS = 2**25  # above 10,000 images of CIFAR-10
SUBPIXELS_PER_SECOND = 40_000  # at least, by the published models on one CPU core


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE_OR_FOLDER...", type=options.path, nargs=-1, required=True)
@options.output_option("File to write")
@options.label_option
@click.option("--batch-size", type=click.IntRange(min=1), default=256, help="Number of images in a group.")
@click.option("--tile", type=click.IntRange(16, MAX_ROW), help="Side of the tiles in which large images are coded.")
@click.option("--verify/--no-verify", default=True, help="Decode and compare before writing.")
@options.json_option
def compress(
    name: str,
    files: tuple[Path, ...],
    output: Path,
    label: str | None,
    batch_size: int,
    tile: int | None,
    verify: bool,
    as_json: bool,
) -> None:
    """Compress image files losslessly into one file.

    If a published model has an integer version, that is used: digits means digits_integer. That computes the same
    probabilities on every machine, so any machine can decompress the file.
    """
    options.check_output(output)
    density = options.load_density(integer_model_of(name))
    coding.integer_network(density.model)
    paths = find_images(files)
    named = [stored_name(name) for name in paths]
    check_names(named)
    by_shape: dict[tuple[int, ...], dict[str, np.ndarray]] = {}
    for filename, file in zip(named, paths.values(), strict=True):
        image = reoriented(read_exact(file, density), density)
        by_shape.setdefault(image.shape, {})[filename] = image
    sizes: list[coding.Uncoded] = []
    for (_, width, _), images in by_shape.items():
        alike = batch_size if len(by_shape) == 1 else 16 if len(images) >= 16 else 1  # to share their programs
        h = density.h(density.labels_of(label, [*images]))
        names = pack_names([*images], part=len(sizes), parts=len(by_shape))
        size = min(batch_size, alike, max(1, MAX_ROW // min(tile or width, width)))
        sizes.append(coding.Uncoded(np.stack([*images.values()]), h, None, size, names, tile))
    rows = sum(-(-len(x) // size) * x.shape[1] * -(-x.shape[2] // (tile or x.shape[2])) for x, _, _, size, *_ in sizes)
    with options.progress("compressing", rows * (1 + verify)) as on_row:
        data = b"".join(coding.compress_sizes(density.model, density.variables, sizes, verify=verify, on_row=on_row))
    atomic_write(output, data)
    all_images, levels = [image for images in by_shape.values() for image in images.values()], density.spec.levels
    subpixels = sum(image.size for image in all_images)
    png = sum(round(png_bits_per_dim(image, levels=levels) * image.size / 8) for image in all_images)
    note = f", by {density.name}"
    if subpixels > DEFAULT_MAX_SUBPIXELS:
        note += f": decompress them with --max-subpixels={subpixels}"
    if png < len(data):
        note += f"\nPNG would be smaller: {png:,} bytes."
    _report(len(named), len(data), subpixels, output, as_json, note=note, model=density.name, png_bytes=png)


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE...", type=options.path, nargs=-1, required=True)
@options.output_option("Folder to write")
@options.label_option
@click.option(
    "--max-subpixels", type=click.IntRange(1), default=DEFAULT_MAX_SUBPIXELS, help="Limit on sub-pixels of all files."
)
@options.json_option
def decompress(
    name: str, files: tuple[Path, ...], output: Path, label: str | None, max_subpixels: int, as_json: bool
) -> None:
    """Decompress to PNGs in a new or empty folder.

    Images from .npy files are written as .npy files.
    """
    options.check_output(output, folder=True)
    target = output.resolve()
    density = options.load_density(integer_model_of(name))
    parts = [part for file in files for part in read_parts(file)]
    filenames = [filename for _, names in parts for filename in names.names]
    check_names(filenames)
    subpixels = sum(math.prod(container.shape) for container, _ in parts)
    if subpixels > max_subpixels:
        minutes = math.ceil(subpixels / SUBPIXELS_PER_SECOND / 60)
        raise InputError(
            f"--max-subpixels must be at least {subpixels} to decompress these images, which takes about {minutes} "
            f"minutes on one CPU core, got {max_subpixels}."
        )
    rows = sum(container.rows for container, _ in parts)
    with (
        TemporaryDirectory(prefix=".pixelcnn", dir=target if target.is_mount() else target.parent) as temporary,
        options.progress("decompressing", rows) as on_row,
    ):
        folder = Path(temporary)
        coded = [(container, density.h(density.labels_of(label, names.names)), None) for container, names in parts]
        decoded = coding.decompress_sizes(density.model, density.variables, coded, on_row=on_row)
        for filename, image in zip(filenames, chain(*decoded), strict=True):
            (folder / filename).parent.mkdir(parents=True, exist_ok=True)
            write_image(folder / filename, to_pixels(reoriented(image, density), density, filename))
        join_stacks(folder)
        target.mkdir(exist_ok=True)  # an empty one stays, since it may be the current folder
        for path in folder.iterdir():
            path.rename(target / path.name)
    _report(len(filenames), sum(file.stat().st_size for file in files), subpixels, output, as_json, note="")


def read_parts(file: Path) -> list[tuple[Container, Names]]:
    """Reads the containers in a compressed file, with their image names.

    Raises:
      InputError: if the file is damaged or incomplete.
    """
    data, parts, start = file.read_bytes(), list[tuple[Container, Names]](), 0
    try:
        while start < len(data) or not parts:
            end = start + length_of(data[start : start + 64])
            container = unpack(data[start:end])
            check_size(container.shape, container.columns)
            parts.append((container, unpack_names(container.extra, container.shape[0])))
            start = end
        order = [(names.part, names.parts) for _, names in parts]
        if order != [(number, len(parts)) for number in range(len(parts))]:
            raise InputError(f"it contains {len(parts)} of {order[0][1]} parts, or they are out of order")
    except InputError as error:
        raise InputError(f"{file} cannot be decompressed: {error}") from None
    return parts


def _report(count: int, size: int, subpixels: int, output: Path, as_json: bool, *, note: str, **facts: Any) -> None:
    bits = 8 * size / subpixels
    summary: dict[str, Any] = {"images": count, "bytes": size, "bits_per_dim": bits, "output": str(output)} | facts
    sentence = f"{output}: {count} images, {size:,} bytes compressed, {bits:.4f} bits/dim{note}"
    options.report(summary, sentence, as_json=as_json)
