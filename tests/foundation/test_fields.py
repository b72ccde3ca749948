"""Typed sections of config fields: defaults, checks by name, help."""

import dataclasses
import math
import shlex

import numpy as np
import pytest
from ml_collections import ConfigDict

from pixelcnn_jax import InputError
from pixelcnn_jax.foundation.fields import as_config, field, help_lines, read_section


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A section with a field of every kind."""

    count: int = field(3, "a number of things", min=1, below=100)
    share: float = field(0.5, "a share of them", above=0, max=1)
    size: int | None = field(None, "a size; None for the default", min=2)
    name: str = field("a", "a or b", choices=("a", "b"))
    place: str | None = field(None, "a folder")
    on: bool = field(False, "a switch")
    pair: tuple[int, ...] = field((1, 2), "two sizes", min=1)
    scale: float = field(1.0, "any number")


def test_a_group_without_values_has_its_defaults():
    assert read_section(Section, {}, name="config.section") == Section()


def test_an_ml_collections_group_makes_the_round_trip():
    config = as_config(Section)
    config.count, config.size, config.place, config.pair = 7, 5, "here", (3, 4)
    assert read_section(Section, config.to_dict(), name="g") == Section(count=7, size=5, place="here", pair=(3, 4))


def test_an_unset_optional_field_takes_its_type_and_none_again():
    config = ConfigDict({"section": as_config(Section)}).lock()
    config.section.size = 4
    config.section.size = None
    with pytest.raises(TypeError):
        config.section.size = "four"


def test_values_of_json_and_numpy_become_the_types_of_the_fields():
    section = read_section(Section, {"count": np.int64(4), "share": 1, "pair": [3, 4]}, name="g")
    assert section == Section(count=4, share=1.0, pair=(3, 4))
    assert isinstance(section.share, float)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"cuont": 3}, r"section has no field cuont(?=.*count)(?!.*share)"),
        ({"zzz": 3}, r"section has no field zzz.*count, share, size"),
        ({"count": True}, r"section\.count .*int"),
        ({"count": None}, r"section\.count .*int"),
        ({"count": 0}, r"section\.count .*at least 1"),
        ({"count": 100}, r"section\.count .*below 100"),
        ({"share": 0.0}, r"section\.share .*above 0"),
        ({"share": 1.5}, r"section\.share .*at most 1"),
        ({"share": "1"}, r"section\.share .*float"),
        ({"size": 1}, r"section\.size .*at least 2"),
        ({"name": "c"}, r"section\.name .*a, b"),
        ({"on": 1}, r"section\.on .*bool"),
        ({"scale": math.nan}, r"section\.scale .*nan"),
        ({"pair": 3}, r"section\.pair .*tuple"),
        ({"pair": (1, 0)}, r"section\.pair .*at least 1"),
        ({"pair": ("a", "b")}, r"section\.pair"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(values, named):
    with pytest.raises(InputError, match=named):
        read_section(Section, values, name="section")


def test_help_has_a_line_for_every_field_with_its_value_or_default():
    lines = help_lines(Section, {"count": 7}, name="config.section")
    assert len(lines) == len(dataclasses.fields(Section))
    for line, one in zip(lines, dataclasses.fields(Section), strict=True):
        value = shlex.quote(str(7 if one.name == "count" else one.default))
        assert line.strip().startswith(f"--config.section.{one.name}={value}")
        assert line.endswith(one.metadata["help"])
