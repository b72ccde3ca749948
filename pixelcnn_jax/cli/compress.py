"""The verbs ``compress`` and ``decompress``: image files to one file and back, to the last bit.

Images of one size are coded together, in a part of the file. Each part is a container that ``pixelcnn_jax.decompress``
reads; the names of its images are kept in it.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.names import check_names, pack_names, unpack_names
from pixelcnn_jax.cli.options import Density
from pixelcnn_jax.cli.pictures import find_images, read_exact, to_pixels
from pixelcnn_jax.codec import coding
from pixelcnn_jax.codec.container import Container, GroupContainer, check_size, length_of, unpack
from pixelcnn_jax.codec.groups import digest_of_integers
from pixelcnn_jax.data.image_files import write_image
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.files import atomic_write
from pixelcnn_jax.models.integer import IntegerPixelCNN
from pixelcnn_jax.pretrained import integer_twins, pretrained_names, read_card


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE_OR_FOLDER...", type=options.PATH, nargs=-1, required=True)
@options.output_option("File to write")
@options.label_option
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=256, show_default=True, help="Images coded at a time."
)
@click.option("--verify/--no-verify", default=True, show_default=True, help="Decode and compare before writing.")
@click.option(
    "--float", "as_float", is_flag=True, help="Do not use the model's integer twin: only this machine reads the file."
)
@options.json_option
def compress(
    name: str,
    files: tuple[Path, ...],
    output: Path,
    label: int | None,
    batch_size: int,
    verify: bool,
    as_float: bool,
    as_json: bool,
) -> None:
    """Compress image files into one file, without loss.

    A published model with an integer twin is replaced by the twin, whose files can be read on any machine. A file of
    a float model can be read only by the same version of jax on the same kind of processor. The program of each size
    of images is compiled, which takes some seconds.
    """
    options.check_output(output)
    twins = [] if as_float else integer_twins(name)
    density = options.load_density(twins[0] if twins else name)
    found = find_named(files)
    by_shape: dict[tuple[int, ...], dict[str, np.ndarray]] = {}
    for one, file in found.items():
        image = read_exact(file, density)
        by_shape.setdefault(image.shape, {})[one] = image
    rows = sum(-(-len(images) // batch_size) * shape[0] for shape, images in by_shape.items())
    parts: list[bytes] = []
    with options.progress("compressing", rows * (1 + verify)) as on_row:
        for images in by_shape.values():
            parts.append(
                coding.compress(
                    density.model,
                    density.variables,
                    np.stack([*images.values()]),
                    h=density.h_of(label, len(images)),
                    batch_size=batch_size,
                    verify=verify,
                    extra=pack_names([*images], part=len(parts), parts=len(by_shape)),
                    on_row=on_row,
                )
            )
    data = b"".join(parts)
    atomic_write(output, data)
    subpixels = sum(image.size for images in by_shape.values() for image in images.values())
    portable = isinstance(density.model, IntegerPixelCNN)
    here = "only this version of jax on this kind of processor can read it"
    readers = "any machine can read it" if portable else here
    facts = {"model": density.name, "portable": portable}
    _report(len(found), len(data), subpixels, output, as_json, note=f", by {density.name}: {readers}", **facts)


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE...", type=options.PATH, nargs=-1, required=True)
@options.output_option("Folder to write")
@options.label_option
@options.json_option
def decompress(name: str, files: tuple[Path, ...], output: Path, label: int | None, as_json: bool) -> None:
    """Decompress files that `compress` wrote into a new folder of PNGs, which appears when all are written."""
    options.check_output(output, folder=True)
    target = output.resolve()
    read_card(name)  # a wrong name is found before the files are read
    parts = [part for file in files for part in read_parts(file)]
    density = load_coder(name, parts[0][1])
    check_names([one for _, _, names in parts for one in names])
    rows = sum(-(-part.shape[0] // part.batch_size) * part.shape[1] for _, part, _ in parts)
    subpixels = 0
    with (
        TemporaryDirectory(prefix=".pixelcnn", dir=target.parent) as folder,
        options.progress("decompressing", rows) as on_row,
    ):
        images = Path(folder) / "images"
        images.mkdir()
        for data, _, names in parts:
            h = density.h_of(label, len(names))
            decoded = coding.decompress(density.model, density.variables, data, h=h, on_row=on_row)
            subpixels += decoded.size
            for one, image in zip(names, decoded, strict=True):
                file = images / one
                if file.exists():
                    raise InputError(f"{one} exists here where case makes no difference: decompress elsewhere.")
                file.parent.mkdir(parents=True, exist_ok=True)
                write_image(file, to_pixels(image, density))
        if target.exists():  # an empty folder; it stays, since it may be the current one
            for path in images.iterdir():
                path.rename(target / path.name)
        else:
            images.rename(target)
    _report(sum(len(names) for *_, names in parts), sum(len(data) for data, *_ in parts), subpixels, output, as_json)


def find_named(places: tuple[Path, ...]) -> dict[str, Path]:
    """Returns image files as ``find_images`` does, by the names that they keep in a compressed file.

    Raises:
      InputError: for names that not every system takes, or that differ in their endings alone.
    """
    images = find_images(places)
    found = {Path(name).with_suffix(".png").as_posix(): file for name, file in images.items()}
    if len(found) < len(images):
        raise InputError("Images must differ in more than the ending of their names: each becomes a .png.")
    try:
        check_names(found)
    except InputError as error:
        raise InputError(f"{', '.join(map(str, places))} cannot be compressed: {error}.") from None
    return found


def load_coder(name: str, container: Container | GroupContainer) -> Density:
    """Returns the model that compressed a file: the one that is named, or one of its integer twins.

    Raises:
      InputError: if it was another integer twin, which is named if it is a published one.
    """
    density = options.load_density(name)
    if not isinstance(container, GroupContainer):
        return density
    for twin in (*map(options.load_density, integer_twins(name)), density):
        if is_of(container, twin):
            return twin
    others = (twin for other in pretrained_names() for twin in integer_twins(other))
    right = next((f": it was {other}" for other in others if is_of(container, options.load_density(other))), "")
    raise InputError(f"{name} is not the model that compressed these images{right}.")


def is_of(container: GroupContainer, density: Density) -> bool:
    """Whether a model compressed the images of a container."""
    model, variables = density.model, density.variables
    return isinstance(model, IntegerPixelCNN) and container.model == digest_of_integers(model, variables)


def read_parts(file: Path) -> list[tuple[bytes, Container | GroupContainer, list[str]]]:
    """Returns the containers in a compressed file, with the names of the images in each.

    Raises:
      InputError: if the file is damaged or incomplete.
    """
    data = file.read_bytes()
    parts: list[tuple[bytes, Container | GroupContainer, list[str]]] = []
    start, total = 0, 1
    try:
        while start < len(data) or not parts:
            part = data[start : start + length_of(data[start : start + 64])]
            container = unpack(part)
            check_size(container.shape, container.batch_size)
            index, total, names = unpack_names(container.extra, container.shape[0])
            if index != len(parts):
                raise InputError("its parts are not in order")
            parts.append((part, container, names))
            start += len(part)
        if total != len(parts):
            raise InputError(f"it ends after {len(parts)} of {total} parts")
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
