"""Folders of image files.

The layout is data_dir/SPLIT/CLASS/FILE or data_dir/SPLIT/FILE; any folder is a split "all". Captions are lines
{"file_name": FILE, "text": SENTENCE} of metadata.jsonl files; FILE is relative to that file. A file may hold a stack of
images; all of them are in the split, the class and under the caption of their file.
"""

import concurrent.futures
import json
import pathlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pixelcnn_jax.data.image_files import EXTENSIONS, decode, find_files, find_image_files, images_in, kind_of
from pixelcnn_jax.data.measurement_files import MAX_LEVELS
from pixelcnn_jax.data.source import INSPECTED, Example, Source
from pixelcnn_jax.data.splits import Classes, Split
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.text import split_words, tokenise, vocabulary

STACK = 2**32  # above the number of files: the row of image i of file number n is i * STACK + n
# If a folder at the top has one of these names, all are splits; of the split "all", only if they hold folders.
SPLITS = {"train", "training", "validation", "valid", "val", "test", "testing"}


def read_folder(split: Split, *, data_dir: str | None, labels: bool, captions: bool = False) -> Source:
    """Reads the images below data_dir/SPLIT, or below data_dir for the split "all".

    Subfolders are classes, and parts are stratified. Colour, class indices and vocabulary agree between splits.

    Raises:
      InputError: for no images, or missing labels or captions.
    """
    root = pathlib.Path(data_dir or "").expanduser()
    all_files = find_image_files(root) if data_dir and root.is_dir() else []
    if not all_files:
        raise InputError(f"data_dir={data_dir} must be a folder of images, with names in {' '.join(EXTENSIONS)}.")
    inside = {file: file.relative_to(root).parts[:-1] for file in all_files}  # parent folders
    tops = {folders[0] for folders in inside.values() if folders}
    has_splits = {top.lower() for top in tops} & SPLITS or split.name in tops  # otherwise folders are classes
    split.check_name(str(root), sorted(tops | {"all"}) if has_splits else ["all"])
    number_of = dict(zip(all_files, file_numbers(all_files), strict=True))
    in_split = [file for file in all_files if split.name == "all" or inside[file][:1] == (split.name,)]
    file_of = {number_of[file]: file for file in reversed(in_split)}  # each file once, by its first link
    files = sorted(file_of.values())
    deep = any(len(folders) > 1 for folders in inside.values())
    depth = 1 if split.name != "all" or (has_splits and deep) or {top.lower() for top in tops} <= SPLITS else 0
    class_of = {file: folders[depth] for file, folders in inside.items() if len(folders) > depth}
    names = sorted(set(class_of.values()))
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    labelled = class_of.keys() >= set(files)
    if labels and not labelled:
        raise InputError(f"labels need each image in {root} to lie in a folder named after its class.")

    sentences = read_captions(root) if captions else {}
    if captions and (missing := [file for file in files if file not in sentences]):
        raise InputError(f"captions need a line for each image in a metadata.jsonl, but {missing[0]} has none.")
    words = vocabulary(sentences.values())
    length = max((len(split_words(sentence)) for sentence in sentences.values()), default=0)

    stratified = [files[row] for row in stratified_order([class_of.get(file) for file in files])]

    def classes() -> Classes:
        return [names.index(class_of[file]) for file in stratified], names

    chosen = sorted(stratified[row] for row in split.rows(len(files), {"label": classes} if labelled else {}))
    image_of = {i * STACK + number_of[file]: image for file in chosen for i, image in enumerate(images_in(file))}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        kinds = {*pool.map(kind_of, all_files[:: -(-len(all_files) // INSPECTED)])}
    colour, levels = "colour" in kinds, MAX_LEVELS if "counts" in kinds else 256

    def read(row: int) -> Example:
        file = file_of[row % STACK]
        return (
            {"image": decode(image_of[row], colour=colour or None, counts=levels > 256)}
            | ({"label": np.int32(names.index(class_of[file]))} if labels else {})
            | ({"caption": tokenise(sentences[file], words, length=length)} if captions else {})
        )

    title, named = root.resolve().name, words if captions else None
    source = Source(title, [*image_of], read, levels, files=image_of, words=named)
    return source._replace(classes=len(names), class_names=tuple(names)) if labels else source


def file_numbers(files: Sequence[pathlib.Path]) -> list[int]:
    """Numbers files in order; all links to a file have its number."""
    numbers: dict[tuple[int, int], int] = {}
    return [numbers.setdefault((x.st_dev, x.st_ino), len(numbers)) for x in (file.stat() for file in files)]


def stratified_order(classes: Sequence[str | None]) -> list[int]:
    """Orders rows so that every part is stratified."""
    rows_of = defaultdict(list)
    for row, name in enumerate(classes):
        rows_of[name].append(row)
    places = [((rank + 0.5) / len(rows), row) for rows in rows_of.values() for rank, row in enumerate(rows)]
    return [row for _, row in sorted(places)]


def read_captions(root: pathlib.Path) -> dict[pathlib.Path, str]:
    """Reads captions by image file from all metadata.jsonl below a folder.

    Raises:
      InputError: If a line is malformed, has no words, or is the second one of an image.
    """
    captions = {}
    for file in sorted(file for file in find_files(root) if file.name == "metadata.jsonl"):
        for number, line in enumerate(file.read_bytes().rstrip().splitlines(), start=1):
            try:
                facts = json.loads(line)
                image, text = file.parent / facts["file_name"], facts["text"].strip()
                if image in captions or not split_words(text):
                    raise ValueError
                captions[image] = text
            except (ValueError, KeyError, TypeError, AttributeError):
                form = '{"file_name": FILE, "text": SENTENCE}, the only line of its image'
                raise InputError(f"{file}, line {number}, must be {form}.") from None
    return captions
