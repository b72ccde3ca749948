"""Typed config sections: frozen dataclasses with defaults, help and bounds.

``as_config`` makes an ml_collections section of one; ``read_section`` parses and checks it.
"""

import dataclasses
import difflib
import operator
import shlex
import typing
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import numpy as np

from pixelcnn_jax.foundation.errors import InputError

Section = TypeVar("Section")
BOUNDS = {
    "min": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "max": ("at most", operator.le),
    "below": ("below", operator.lt),
}


def field(default: Any, help: str, *, choices: Collection[Any] = (), **bounds: int | float) -> Any:
    """Declares a config field: default, help and bounds.

    Args:
      **bounds: min, above, max or below, of a number or every number of a tuple; None passes if the type allows it.
    """
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "bounds": bounds})


def as_config(section: type) -> Any:
    """Builds a ConfigDict of the section's defaults."""
    from ml_collections import ConfigDict
    from ml_collections.config_dict import placeholder

    kinds = typing.get_type_hints(section)
    config = ConfigDict()
    for entry in dataclasses.fields(section):
        config[entry.name] = placeholder(_plain(kinds[entry.name])) if entry.default is None else entry.default
    return config


def read_section(section: type[Section], values: Mapping[str, Any], *, name: str) -> Section:
    """Parses and checks a config section.

    Args:
      section: the dataclass.
      values: some or all fields, as ConfigDict or dict.
      name: name in errors, such as "config.data"; "" names fields alone.

    Raises:
      InputError: for an unknown field, or a wrong type or value.
    """
    fields = {entry.name: entry for entry in dataclasses.fields(section)}  # type: ignore[arg-type]
    kinds = typing.get_type_hints(section)
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {near[0]}?" if near else f": it has {', '.join(fields)}."
            raise InputError(f"{name or 'The call'} has no field {key}{hint}")
    defaults = {key: None if entry.default is dataclasses.MISSING else entry.default for key, entry in fields.items()}
    prefix = f"{name}." if name else ""
    read = {
        key: _parse_value(f"{prefix}{key}", values.get(key, defaults[key]), kinds[key], entry.metadata)
        for key, entry in fields.items()
    }
    try:
        return section(**read)
    except InputError as error:  # the section's own checks begin with a field's name
        raise InputError(f"{prefix}{error}") from None


def help_lines(section: type, values: Mapping[str, Any], *, name: str) -> list[str]:
    """Formats a line of help per field, with its value in a config."""
    return [
        f"  --{name}.{entry.name}={shlex.quote(str(values.get(entry.name, entry.default)))}".ljust(52)
        + f" {entry.metadata.get('help', '')}"
        for entry in dataclasses.fields(section)
    ]


def _plain(kind: Any) -> Any:
    """Strips None from a type such as ``int | None``."""
    kinds = typing.get_args(kind)
    return next(x for x in kinds if x is not type(None)) if type(None) in kinds else kind


def _parse_value(name: str, value: Any, kind: Any, metadata: Mapping[str, Any]) -> Any:
    plain = _plain(kind)
    if value is None and plain is not kind:
        return None
    if isinstance(value, list):
        value = tuple(tuple(x) if isinstance(x, list) else x for x in value)
    elif isinstance(value, np.generic):
        value = value.item()
    if plain is float and type(value) is int:
        value = float(value)
    if requirement := _unmet(value, plain, metadata):
        raise InputError(f"{name} must be {requirement}, got {value!r}.")
    return value


def _unmet(value: Any, kind: Any, metadata: Mapping[str, Any]) -> str | None:
    """Describes what a value must be and is not."""
    origin, (inner, *repeated) = typing.get_origin(kind) or kind, typing.get_args(kind) or (None,)
    if not isinstance(value, origin) or (origin is int and isinstance(value, bool)):
        return f"of type {origin.__name__}"
    if repeated == [...] and not all(type(x) is inner for x in value):
        return f"a tuple of type {inner.__name__}"
    if metadata.get("choices") and value not in metadata["choices"]:
        return f"one of {', '.join(map(str, metadata['choices']))}"
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not np.isfinite(number):
            return "finite"
        for name, bound in metadata.get("bounds", {}).items():
            relation, holds = BOUNDS[name]
            if not holds(number, bound):
                return f"{relation} {bound}"
    return None
