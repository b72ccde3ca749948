"""Image files to one compressed file and back, with the model of a workdir: pixels are kept to the last bit.

python -m experiments.codec compress --workdir=runs/digits --output=digits.pcnn FILE_OR_FOLDER ...
python -m experiments.codec decompress --workdir=runs/digits --output=FOLDER digits.pcnn

Images of one size are coded together; a file that holds no image, or pixels that no level of the model stands for, is
refused. What comes out are PNGs of the same names, ending in .png. The last line is JSON: images, bytes, bits/dim,
seconds.
"""

import argparse
import json
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments import cli, trained
from pixelcnn_jax import InputError, compress, decompress
from pixelcnn_jax.codec.container import Container, check_bounds, length_of, unpack
from pixelcnn_jax.data.image_files import as_levels, as_pixels, read_image, write_image
from pixelcnn_jax.data.sources import EXTENSIONS, image_files
from pixelcnn_jax.files import atomic_write

MAX_NAMES = 2**26  # bytes that the names of images may take
NAME = re.compile(r"[^/\\:\0\ud800-\udfff]{1,200}")  # of a file or folder, on any system


def main(argv: list[str] | None = None) -> None:
    """Compresses or decompresses; prints a summary as JSON."""
    parser = argparse.ArgumentParser("python -m experiments.codec", description=__doc__, formatter_class=cli.AsWritten)
    actions = parser.add_subparsers(dest="action", required=True, metavar="compress | decompress")
    for name, inputs in (("compress", "image files and folders of them"), ("decompress", "compressed files")):
        action = actions.add_parser(name, help=f"takes {inputs}")
        action.add_argument("--workdir", type=cli.a_path, required=True, help="where the model was trained")
        action.add_argument(
            "--output", type=cli.a_path, required=True, help="file or, to decompress, folder; must be new"
        )
        action.add_argument("--label", type=int, help="the class, for a model that was trained given one")
        action.add_argument("inputs", type=cli.a_path, nargs="+", help=inputs)
    actions.choices["compress"].add_argument("--batch_size", type=int, default=256, help="images computed at once")
    actions.choices["compress"].add_argument("--no_verify", action="store_true", help="do not decode what was written")
    arguments = parser.parse_args(argv)
    cli.report(partial({"compress": compress_files, "decompress": decompress_files}[arguments.action], arguments))


def compress_files(arguments: argparse.Namespace) -> dict[str, Any]:
    """All images that the inputs name, in one file."""
    cli.check_new(arguments.output)
    if arguments.batch_size < 1:
        raise InputError(f"--batch_size must be at least 1, not {arguments.batch_size}.")
    model, variables, _, config = trained.load(arguments.workdir, label=arguments.label)
    plain = trained.files_hold_levels(config)
    if model.levels > 256:
        raise InputError(f"Image files hold 8 bits a sub-pixel, fewer than the {model.levels} levels of this model.")
    found = find(arguments.inputs)
    images = {name: exact_levels(file, model.levels, model.channels, plain=plain) for name, file in found.items()}
    began = time.monotonic()
    verify = not arguments.no_verify
    by_size: dict[tuple[int, ...], list[str]] = {}
    for name, image in images.items():
        by_size.setdefault(image.shape, []).append(name)
    parts: list[bytes] = []
    for shape, batch in by_size.items():
        facts = json.dumps({"part": len(parts), "parts": len(by_size), "names": batch}, ensure_ascii=False).encode()
        if len(facts) > MAX_NAMES:
            raise InputError(f"The names of {len(batch)} images take {len(facts):,} bytes, more than {MAX_NAMES:,}.")
        with progress("compressing", len(batch), shape[0], arguments.batch_size, passes=1 + verify) as row:
            parts.append(
                compress(
                    model,
                    variables,
                    np.stack([images[name] for name in batch]),
                    batch_size=arguments.batch_size,
                    verify=verify,
                    extra=zlib.compress(facts, 9),
                    on_row=row,
                )
            )
    data = b"".join(parts)
    atomic_write(arguments.output, data)
    subpixels = sum(image.size for image in images.values())
    return summary(len(images), len(data), subpixels, began, arguments.output)


def decompress_files(arguments: argparse.Namespace) -> dict[str, Any]:
    """All images of the inputs, as PNGs in a new folder, in which they appear when all of them are written."""
    cli.check_new(arguments.output, folder=True)
    model, variables, _, config = trained.load(arguments.workdir, label=arguments.label)
    parts = [part for file in arguments.inputs for part in parts_of(file)]
    began = time.monotonic()
    images: dict[str, np.ndarray] = {}
    for data, container, names in parts:
        if twice := images.keys() & names:
            raise InputError(f"The inputs hold two images called {min(twice)}: decompress them apart.")
        count, height, *_ = container.shape
        with progress("decompressing", count, height, container.batch_size, passes=1) as row:
            images |= zip(names, decompress(model, variables, data, on_row=row), strict=True)
    arguments.output.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix=".part", dir=arguments.output) as part:
        for name, image in images.items():
            file = Path(part) / name
            if file.exists():
                raise InputError(
                    f"Another image is called {name} here, where case makes no difference: unpack elsewhere."
                )
            file.parent.mkdir(parents=True, exist_ok=True)
            write_image(file, pixels_of(image, model.levels, plain=trained.files_hold_levels(config)))
        for entry in Path(part).iterdir():
            entry.rename(arguments.output / entry.name)
    size, subpixels = sum(len(data) for data, *_ in parts), sum(image.size for image in images.values())
    return summary(len(images), size, subpixels, began, arguments.output)


def parts_of(file: Path) -> list[tuple[bytes, Container, list[str]]]:
    """The containers in a compressed file, one for each size of image, with the names that each holds.

    Raises InputError, naming the file, for one that is damaged or not whole.
    """
    data = file.read_bytes()
    parts: list[tuple[bytes, Container, list[str]]] = []
    try:
        while data or not parts:
            part, data = data[: length_of(data)], data[length_of(data) :]
            container = unpack(part)
            check_bounds(container.shape, container.batch_size)
            index, total, names = contents(container)
            if index != len(parts):
                raise InputError("its parts are not in order")
            parts.append((part, container, names))
        if total != len(parts):
            raise InputError(f"it ends after {len(parts)} of {total} parts")
    except InputError as error:
        raise InputError(f"{file} cannot be decompressed: {error}") from error
    return parts


def contents(container: Container) -> tuple[int, int, list[str]]:
    """Which part of how many a container is, and the names of its images: new PNGs inside a folder, or InputError."""
    try:
        facts = json.loads(zlib.decompressobj().decompress(container.extra, MAX_NAMES))
        part, parts, names = int(facts["part"]), int(facts["parts"]), [PurePosixPath(name) for name in facts["names"]]
    except (zlib.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("the names of its images cannot be read") from error
    check_names(names)
    if len(set(names)) != len(names) or len(names) != container.shape[0]:
        raise InputError("it does not hold one name an image")
    return part, parts, [str(name) for name in names]


def check_names(names: Iterable[PurePosixPath]) -> None:
    """Raises InputError for what cannot be the names of PNGs in one folder, on any system."""
    inner = {parent for name in names for parent in name.parents}
    for name in names:
        written = all(NAME.fullmatch(part) and part.strip(".") for part in name.parts)
        if name.suffix != ".png" or not written or name in inner:
            raise InputError(f"an image in it is called {str(name)!r}, which is no name of a PNG in a folder")


def find(inputs: list[Path]) -> dict[str, Path]:
    """The image files that are named or lie in a folder that is, by what each will be called."""
    found: dict[str, Path] = {}
    for place in inputs:
        if place.is_dir():
            named = {file.relative_to(place): file for file in image_files(place)}
        else:
            named = {Path(place.name): place}
        for name, file in named.items():
            png = name.with_suffix(".png").as_posix()
            if png in found:
                raise InputError(f"{found[png]} and {file} would both become {png}: compress them apart.")
            found[png] = file
    if not found:
        raise InputError(f"{', '.join(map(str, inputs))} holds no images: their names end in {' '.join(EXTENSIONS)}.")
    try:
        check_names([PurePosixPath(name) for name in found])
    except InputError as error:
        raise InputError(f"{', '.join(map(str, inputs))} cannot be compressed: {error}; rename it.") from error
    return found


def pixels_of(image: np.ndarray, levels: int, *, plain: bool) -> np.ndarray:
    """The pixels of a file that stand for levels; of a ``plain`` one the levels themselves."""
    return image.astype(np.uint8) if plain else as_pixels(image, levels=levels)


def exact_levels(file: Path, levels: int, channels: int, *, plain: bool) -> np.ndarray:
    """The levels that a file's pixels stand for; InputError where one stands for none."""
    pixels = read_image(file, channels=channels)
    values = np.minimum(pixels, levels - 1) if plain else as_levels(pixels, levels=levels)
    strange = pixels[pixels_of(values, levels, plain=plain) != pixels]
    if strange.size:
        raise InputError(f"{file} holds the value {strange[0]}, for which none of the model's {levels} levels stands.")
    return values


@contextmanager
def progress(name: str, count: int, height: int, batch_size: int, *, passes: int) -> Iterator[Callable[[int], None]]:
    """A bar over the rows of all batches, quiet unless on a terminal."""
    with tqdm(desc=name, total=-(-count // batch_size) * height * passes, unit="row", disable=None) as bar:

        def advance(_: int) -> None:
            bar.update()

        yield advance


def summary(count: int, size: int, subpixels: int, began: float, output: Path) -> dict[str, Any]:
    """What is printed at the end; bits/dim are those of the whole file."""
    return {
        "images": count,
        "bytes": size,
        "bits_per_dim": 8 * size / subpixels,
        "seconds": time.monotonic() - began,
        "output": str(output),
    }


if __name__ == "__main__":
    main()
