"""The syntax of a part of a split: "train[:50000]", "train[-10%:]", "train where label is 3 or 5"."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from pixelcnn_jax.foundation.errors import InputError

PATTERN = re.compile(
    r"(?P<name>[^\[\]]+?)(?: where (?P<feature>\w+) (?P<relation>is below|is at least|is) (?P<values>[^\[\]]+))?"
    r"(?:\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?"
)

# Class index of each image, and class names.
Classes = tuple[Sequence[int], Sequence[str]]


class Split(NamedTuple):
    """A parsed split.

    Attributes:
      text: unparsed split.
      name: stored split, such as "train".
      feature: feature of the condition, such as "label".
      relation: "is", "is below" or "is at least".
      values: class names or indices.
      start: such as "100" or "-10%".
      stop: likewise.
    """

    text: str
    name: str
    feature: str | None
    relation: str | None
    values: str | None
    start: str | None
    stop: str | None

    def check_name(self, dataset: str, names: Collection[str]) -> None:
        """Raises InputError unless the data set has this split."""
        if self.name not in names:
            part = f"{'train' if 'train' in names else next(iter(names), 'train')}[:90%]"
            raise InputError(
                f'{dataset} has no split "{self.name}": it has {", ".join(names)}, and parts such as {part}.'
            )

    def rows(self, count: int, classes: Mapping[str, Callable[[], Classes]]) -> Sequence[int]:
        """Selects the rows of the stored split.

        Args:
          count: images in the stored split.
          classes: reader of every image's class, per class feature.

        Raises:
          InputError: for no images, or a condition on a feature without classes or on an unknown class.
        """
        rows: Sequence[int] = range(count)
        if self.feature is not None:
            if self.feature not in classes:
                features = ", ".join(sorted(classes)) or "none"
                raise InputError(f'"{self.text}" needs classes called {self.feature}, but the data set has {features}.')
            indices, names = classes[self.feature]()
            accepted = self._accepted(names)
            rows = [row for row in rows if indices[row] in accepted]  # TFDS marks a missing label by -1
        first, end = _position(self.start or "0", len(rows)), _position(self.stop or "100%", len(rows))
        if not 0 <= first < end <= len(rows):
            raise InputError(f'The split "{self.text}" is empty or exceeds the {len(rows)} images it is a part of.')
        return rows[first:end]

    def _accepted(self, names: Sequence[str]) -> set[int]:
        """Finds the classes that meet the condition; class names precede indices."""
        values = str(self.values).strip()
        if self.relation != "is":
            return {index for index in range(len(names)) if (index < int(values)) == (self.relation == "is below")}
        stated = [values] if values in names else map(str.strip, values.split(" or "))  # a name may hold " or "
        indices = range(0 if all(map(str.isdecimal, names)) else len(names))  # no index that could be meant as a name
        index_of = {str(index): index for index in indices} | {name: i for i, name in enumerate(names)}
        try:
            return {index_of[value] for value in stated}
        except KeyError as error:
            raise InputError(f'The split "{self.text}" names a class {error}, which does not exist.') from None


def parse_split(text: str) -> Split:
    """Parses a split.

    Raises:
      InputError: for a syntax error.
    """
    match = PATTERN.fullmatch(text)
    if match is None or (match["relation"] not in (None, "is") and not match["values"].isdecimal()):
        examples = '"train", "train[:50000]", "train where label is 3" or "train where label is below 5"'
        raise InputError(f'The split "{text}" must have a form like {examples}.')
    return Split(text, **match.groupdict())


def _position(boundary: str, count: int) -> int:
    number = int(boundary.strip("%"))
    if boundary.endswith("%"):  # "90%" and "-10%" are the same position for every count
        return round((number if not boundary.startswith("-") else 100 + number) * count / 100)
    return count + number if boundary.startswith("-") else number
