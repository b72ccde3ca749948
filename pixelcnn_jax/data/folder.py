"""Folders of image files: data_dir/SPLIT/CLASS/FILE or data_dir/SPLIT/FILE, or any folder as the split "all"."""

import concurrent.futures
import pathlib
from collections.abc import Sequence

import numpy as np

from pixelcnn_jax.data.image_files import EXTENSIONS, decode, find_image_files, has_colour
from pixelcnn_jax.data.source import Example, Source
from pixelcnn_jax.data.splits import Classes, Split
from pixelcnn_jax.errors import InputError


def read_folder(split: Split, *, data_dir: str | None, labels: bool) -> Source:
    """Returns the images below data_dir/SPLIT, or all images below data_dir for the split "all".

    The folders inside are the classes. Colour, and the number of a class, are the same in all splits.

    Raises:
      InputError: if there are no such images, or labels are wanted where images lie outside the folder of a class.
    """
    root = pathlib.Path(data_dir or "").expanduser()
    if data_dir is None or not root.is_dir():
        raise InputError(f"data_dir={data_dir} must be a folder of images.")
    found = find_image_files(root)
    if not found:
        raise InputError(f"{root} holds no images: their names must end in {' '.join(EXTENSIONS)}.")
    inside = {file: file.relative_to(root).parts[:-1] for file in found}  # the folders that contain each file
    split.check_name(str(root), sorted({folders[0] for folders in inside.values() if folders} | {"all"}))
    files = [file for file in found if split.name == "all" or inside[file][:1] == (split.name,)]
    depth = 0 if split.name == "all" else 1
    class_of = {file: folders[depth] for file, folders in inside.items() if len(folders) > depth}
    names = sorted(set(class_of.values()))
    labelled = class_of.keys() >= set(files)
    if labels and not labelled:
        raise InputError(f"labels need each image in {root} to lie in a folder named after its class.")

    def classes() -> Classes:
        return [names.index(class_of[file]) for file in files], names

    def read(rows: Sequence[int]) -> list[Example]:
        return [
            {"image": decode(file, colour=colour)}
            | ({"label": np.int32(names.index(class_of[file]))} if labels else {})
            for file in (files[row] for row in rows)
        ]

    rows = split.rows(len(files), {"label": classes} if labelled else {})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        colour = any(list(pool.map(has_colour, found)))
    return Source(root.resolve().name, rows, read, classes=len(names) if labels else None, files=files)
