"""An account of a compiled program, one operation at a time: the bytes it moves, its arithmetic, its collectives.

XLA's own cost analysis counts the body of a loop once, the whole operand of an asynchronous slice, and both halves of
an asynchronous operation. This account reads the text of the compiled program instead:

- The operations of the entry computation and of the bodies of loops are counted, a body as often as its loop runs. The
  operations inside a fusion move nothing; what the fusion reads and writes does.
- An operation reads its operands and writes its result. A slice, or a fusion that only slices an operand, reads the
  slice. A dynamic-update-slice, or a fusion that ends in one, writes the update in place.
- An asynchronous operation is counted once, at its second half.
- An array takes its padded size: the tile of its layout, such as T(8,128), rounds its last dimensions up.
- The suffix S(1) of a layout places an array in the memory on the chip. Only other arrays are counted as main memory.
- Arithmetic is that of matrix products and convolutions, without taps in the padding: two for each multiplication.

The bandwidth of the main memory is what the bytes are to be compared with. Caches, which a TPU does not have, are not
modelled.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.hlo_text import Computation, Operation, array_sizes, flops, parse

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all")
LAYOUT_ONLY = ("ConcatBitcast", "AllocateBuffer", "SliceBitcast")  # custom calls that move nothing
HOST = ("infeed", "outfeed", "send", "recv")


class Moved(NamedTuple):
    """An operation, how often it runs, and the bytes that it moves each time, to and from each memory."""

    operation: Operation
    times: int
    main: int
    on_chip: int


class Account(NamedTuple):
    """Totals of a program, on each device.

    Attributes:
      main_bytes, on_chip_bytes: moved to and from the main memory, and the memory on the chip.
      flops: of matrix products and convolutions.
      cycles: of all operations, by the compiler's own estimate, where it states one.
      collectives: count and bytes of the result, by kind.
      host_transfers: operations that exchange data with the host.
      unknown_loops: loops whose count the compiler does not state; they are counted once.
      moved: all operations.
    """

    main_bytes: int
    on_chip_bytes: int
    flops: int
    cycles: int
    collectives: dict[str, dict[str, int]]
    host_transfers: int
    unknown_loops: int
    moved: list[Moved]


def account(text: str) -> Account:
    """Returns the account of a compiled program from ``compiled.as_text()``."""
    computations, entry = parse(text)
    executed = list(_executed(computations, entry))
    moved = [
        Moved(operation, times, sizes["main"], sizes["on chip"])
        for place, operation, times in executed
        if (sizes := _moved(computations, place, operation))
    ]
    collectives: dict[str, dict[str, int]] = {}
    for _, operation, times in executed:
        kind = operation.kind.removesuffix("-done")
        if kind in COLLECTIVES:
            total = collectives.setdefault(kind, {"count": 0, "bytes": 0})
            total["count"] += times
            total["bytes"] += times * sum(array_sizes(operation.type).values())
    return Account(
        main_bytes=sum(one.times * one.main for one in moved),
        on_chip_bytes=sum(one.times * one.on_chip for one in moved),
        flops=sum(times * flops(computations, place, operation) for place, operation, times in executed),
        cycles=sum(times * int(one.attribute(r'"estimated_cycles":"(\d+)"', "0")) for _, one, times in executed),
        collectives=collectives,
        host_transfers=sum(operation.kind in HOST or "S(5)" in operation.type for _, operation, _ in executed),
        unknown_loops=sum(
            operation.kind == "while" and not _trips(computations, operation) for _, operation, _ in executed
        ),
        moved=moved,
    )


def _executed(computations: dict[str, Computation], name: str, times: int = 1) -> Iterator[tuple[str, Operation, int]]:
    """Yields the computation, the operation and its count for all operations that run on their own."""
    for operation in computations[name].values():
        yield name, operation, times
        if operation.kind in ("while", "call", "conditional"):
            count = (_trips(computations, operation) or 1) if operation.kind == "while" else 1
            branches = operation.attribute(r"branch_computations=\{([^}]*)\}") or operation.attribute(
                r"(?:body|to_apply|calls)=(%[\w.-]+)"
            )
            for branch in re.findall(r"%([\w.-]+)", branches):
                yield from _executed(computations, branch, times * count)


def _trips(computations: dict[str, Computation], loop: Operation) -> int:
    """Returns how often a loop runs; 0 if that is not known.

    JAX compiles a scan to a loop whose counter starts at zero and is compared with a constant.
    """
    condition = computations[loop.attribute(r"condition=%([\w.-]+)")]
    *_, result = condition.values()
    limits = [condition[name].operands[0] for name in result.operands if condition[name].kind == "constant"]
    known = "direction=LT" in result.attributes and limits
    return int(limits[0] if known else loop.attribute(r'"known_trip_count":\{"n":"(\d+)"\}', "0"))


def _moved(computations: dict[str, Computation], place: str, operation: Operation) -> Counter[str]:
    """Returns the bytes that an operation moves, by memory."""
    kind, computation = operation.kind, computations[place]
    if kind in FREE or kind.endswith(("-start", "-update")) or operation.attribute(r'target="(\w+)"') in LAYOUT_ONLY:
        return Counter()
    if kind.endswith("-done"):
        operation = computation[operation.operands[0]]._replace(kind=kind.removesuffix("-done"), type=operation.type)
        if operation.kind == "async":
            operation = operation._replace(kind="fusion")
    called = operation.attribute(r"calls=%([\w.-]+)")
    total = Counter(_written(computations, called) if kind == "fusion" else _written_by(computation, operation))
    for number, name in enumerate(operation.operands):
        read = _parts_of_fusion(computations, called, number) if called else _parts(computations, operation, number)
        whole = array_sizes(computation[name].type)
        # Parts of an array lie where the array lies.
        memory = "on chip" if whole["on chip"] else "main"
        total[memory] += min(sum(whole.values()), read) if read is not None else sum(whole.values())
    return total


def _written_by(computation: Computation, operation: Operation) -> Counter[str]:
    """Returns the bytes that a single operation writes."""
    if operation.kind != "dynamic-update-slice":
        return array_sizes(operation.type)
    update, memory = computation[operation.operands[1]], array_sizes(operation.type)
    return Counter({"on chip" if memory["on chip"] else "main": sum(array_sizes(update.type).values())})


def _written(computations: dict[str, Computation], name: str, result: str | None = None) -> Counter[str]:
    """Returns the bytes that a fusion writes."""
    computation = computations[name]
    operation = computation[result] if result else list(computation.values())[-1]
    if operation.kind == "tuple":
        return sum((_written(computations, name, one) for one in operation.operands), Counter())
    if operation.kind == "bitcast":
        return _written(computations, name, operation.operands[0])
    if operation.kind == "fusion":
        return _written(computations, operation.attribute(r"calls=%([\w.-]+)"))
    return _written_by(computation, operation)


def _parts(computations: dict[str, Computation], user: Operation, number: int) -> int | None:
    """Returns the bytes that an operation reads of an operand; None for all."""
    if user.kind in ("slice", "dynamic-slice", "gather") and number == 0:
        return sum(array_sizes(user.type).values())
    if user.kind == "dynamic-update-slice" and number == 0:
        return 0  # in place
    if user.kind == "fusion":
        return _parts_of_fusion(computations, user.attribute(r"calls=%([\w.-]+)"), number)
    return None


def _parts_of_fusion(computations: dict[str, Computation], name: str, number: int) -> int | None:
    """Returns the bytes that a fusion reads of an operand; None for all."""
    parameter = next(x for x in computations[name].values() if x.kind == "parameter" and x.operands == [str(number)])
    return _parts_of_value(computations, name, parameter.name)


def _parts_of_value(computations: dict[str, Computation], name: str, value: str) -> int | None:
    total = 0
    for user in computations[name].values():
        for number, operand in enumerate(user.operands):
            if operand == value:
                through = user.kind in ("bitcast", "get-tuple-element")
                part = _parts_of_value(computations, name, user.name) if through else _parts(computations, user, number)
                if part is None:
                    return None
                total += part
    return total
