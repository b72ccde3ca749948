"""Timing functions."""

import os
import time
from collections.abc import Callable
from typing import Any

import jax

# Environment of a process without compilation cache.
NOTHING_COMPILED = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"}


def children_cpu_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def fastest(functions: dict[str, Callable[[], Any]], *, rounds: int) -> dict[str, float]:
    """Times the fastest call of each function, called in turn after one that compiles."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            jax.block_until_ready(function())
            times[name].append(time.perf_counter() - began)
    return {name: min(values) for name, values in times.items()}
