"""The text of a compiled program as operations, and the size and the arithmetic of each."""

import itertools
import math
import re
from collections import Counter
from typing import NamedTuple


class Operation(NamedTuple):
    """One line of a compiled program."""

    name: str
    kind: str
    type: str
    operands: list[str]
    attributes: str

    def attribute(self, pattern: str, default: str = "") -> str:
        """Returns the first group of a pattern in the attributes."""
        match = re.search(pattern, self.attributes)
        return match[1] if match else default


Computation = dict[str, Operation]  # the last one is its result


def parse(text: str) -> tuple[dict[str, Computation], str]:
    """Returns the computations of a program by their names, and the name of the entry."""
    computations: dict[str, Computation] = {}
    results: dict[int, str] = {}
    entry, current = "", None
    for line in text.splitlines():
        if header := re.match(r"(ENTRY )?%?([\w.-]+) .*\{$", line):
            current = computations.setdefault(header[2], {})
            entry = header[2] if header[1] else entry
        elif current is not None and (match := re.match(r"\s+(ROOT )?%?([\w.-]+) = (.*?) ([a-z][\w-]*)\((.*)", line)):
            is_result, name, type_, kind, rest = match.groups()
            inside, _, attributes = rest.partition(")")
            operands = [inside] if kind in ("parameter", "constant") else re.findall(r"%([\w.-]+)", inside)
            current[name] = Operation(name, kind, type_, operands, attributes)
            results[id(current)] = name if is_result else results.get(id(current), name)
    for computation in computations.values():
        result = results[id(computation)]
        computation[result] = computation.pop(result)
    return computations, entry


def array_sizes(type_: str) -> Counter[str]:
    """Returns the padded bytes of all arrays of a type, by memory: "main" or "on chip"."""
    total: Counter[str] = Counter()
    for name, shape, layout in re.findall(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^}]*)\})?", type_):
        order, _, tiles = layout.partition(":")
        sizes = [int(size) for size in shape.split(",") if size]
        physical = [sizes[int(axis)] for axis in reversed(order.split(","))] if order else sizes
        if sizes and (tile := re.match(r"T\(([\d,]+)\)", tiles)):
            tile_sizes = [int(size) for size in tile[1].split(",")][-len(sizes) :]
            last = len(physical) - len(tile_sizes)
            physical[last:] = [-(-size // by) * by for size, by in zip(physical[last:], tile_sizes, strict=True)]
        bits = 8 if name == "pred" else int((re.findall(r"\d+", name) or [0])[0])
        total["on chip" if re.search(r"S\([1-46-9]\)", tiles) else "main"] += math.prod(physical) * bits // 8
    return total


def flops(computations: dict[str, Computation], place: str, operation: Operation) -> int:
    """Returns the arithmetic of matrix products and convolutions of an operation, those inside a fusion included."""
    computation = computations[place]
    if operation.kind == "fusion":
        called = operation.attribute(r"calls=%([\w.-]+)")
        return sum(flops(computations, called, one) for one in computations[called].values())
    if operation.kind == "dot":
        left = _shape(computation[operation.operands[0]].type)
        summed = operation.attribute(r"lhs_contracting_dims=\{([\d,]*)\}").split(",")
        return 2 * math.prod(_shape(operation.type)) * math.prod(left[int(axis)] for axis in summed if axis)
    if operation.kind != "convolution":
        return 0
    inputs, kernel, outputs = re.findall(r"[0-9a-z]+", operation.attribute(r"dim_labels=([\w>-]+)"))
    shapes = [_shape(computation[name].type) for name in operation.operands] + [_shape(operation.type)]
    sizes = [
        dict(zip(labels, shape, strict=True)) for labels, shape in zip((inputs, kernel, outputs), shapes, strict=True)
    ]
    window = dict(re.findall(r"(\w+)=([\d_x-]+)", operation.attribute(r"window=\{([^}]*)\}")))
    fields = {name: value.split("x") for name, value in window.items()}
    taps = 1
    for number, axis in enumerate(sorted(set(outputs) - set("bf"))):

        def of(name: str, default: str, number: int = number) -> str:
            return fields[name][number] if name in fields else default

        taps *= _taps(
            sizes[0][axis],
            sizes[2][axis],
            int(of("size", "1")),
            stride=int(of("stride", "1")),
            before=int(of("pad", "0_0").split("_")[0]),
            spread=int(of("lhs_dilate", "1")),
            dilation=int(of("rhs_dilate", "1")),
        )
    groups = int(operation.attribute(r"batch_group_count=(\d+)", "1"))
    return 2 * sizes[0]["b"] // groups * sizes[2]["f"] * sizes[1]["i"] * taps


def _taps(inputs: int, outputs: int, kernel: int, *, stride: int, before: int, spread: int, dilation: int) -> int:
    """Returns how many pairs of an output and a tap read an input, and not padding or the gaps between inputs."""
    places = (o * stride + k * dilation - before for o, k in itertools.product(range(outputs), range(kernel)))
    return sum(place % spread == 0 and 0 <= place // spread < inputs for place in places)


def _shape(type_: str) -> list[int]:
    match = re.search(r"\[([\d,]*)\]", type_)
    return [int(size) for size in match[1].split(",") if size] if match else []
