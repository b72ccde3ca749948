"""The networks of 1601.06759 written out pixel by pixel in NumPy, to compare the fast implementations with.

As in reference.py, nothing is skewed, flipped, or computed for a whole map at once. A state looks up the states that it
is made of by their row and column.
"""

from functools import cache

import numpy as np
from reference import _at, _masked, _numpy, group, read

from pixelcnn_jax import DiagonalBiLSTM, PixelCNN, RowLSTM


def reference_logits(model, params, image, h=None, s=None):
    """Logits [height, width, channels, levels] of one image [height, width, channels]."""
    params = {name: _numpy(value) for name, value in params.items()}
    height, width, channels = image.shape
    groups = {
        "maps": [group(j, 2 * model.features, channels) for j in range(2 * model.features)],
        "features": [group(j, model.features, channels) for j in range(model.features)],
        "hidden": [group(j, model.head_width, channels) for j in range(model.head_width)],
        "classes": [j // model.levels for j in range(channels * model.levels)],
    }
    first, groups["pixel"] = read(model, params, image)
    x = _convolution(params["first"], first, groups["pixel"], groups["maps"], first=True)
    layer_of = {PixelCNN: _block, RowLSTM: _row_lstm, DiagonalBiLSTM: _diagonal_lstm}[type(model)]
    for index in range(model.layers):
        x = x + layer_of(_at(params["layers"], index), x, groups, h, s)
    head, out = params["head"], np.zeros((height, width, channels * model.levels))
    for p in np.ndindex(height, width):
        hidden = _masked(np.maximum(x[p], 0), head["hidden"]["kernel"], groups["maps"], groups["hidden"])
        hidden = np.maximum(hidden + head["hidden"]["bias"], 0)
        out[p] = _masked(hidden, head["logits"]["kernel"], groups["hidden"], groups["classes"])
    return (out + head["logits"]["bias"]).reshape(height, width, channels, model.levels)


def _convolution(layer, x, inputs, outputs, *, first=False):
    height, width, _ = x.shape
    taps = len(layer["kernel"])
    n = next(n for n in range(1, 100, 2) if n * n // 2 + 1 == taps)
    out = np.tile(layer["bias"], (height, width, 1))
    for r, c in np.ndindex(height, width):
        for tap in range(taps - 1):
            i, j = r + tap // n - n // 2, c + tap % n - n // 2
            if i >= 0 and 0 <= j < width:
                out[r, c] += x[i, j] @ layer["kernel"][tap]
        out[r, c] += _masked(x[r, c], layer["kernel"][-1], inputs, outputs, first=first)
    return out


def _condition(layer, name, h, s, r, c):
    terms = 0.0
    if h is not None:
        terms = terms + np.tensordot(h, layer[f"{name}_h"], axes=1)
    if s is not None:
        terms = terms + np.tensordot(s[r, c], layer[f"{name}_s"], axes=1)
    return terms


def _up(layer, x, groups):
    return _masked(x, layer["up"]["kernel"], groups["features"], groups["maps"]) + layer["up"]["bias"]


def _block(layer, x, groups, h, s):
    height, width, _ = x.shape
    narrow = np.zeros((height, width, len(groups["features"])))
    for p in np.ndindex(height, width):
        narrow[p] = _masked(np.maximum(x[p], 0), layer["down"]["kernel"], groups["maps"], groups["features"])
        narrow[p] += layer["down"]["bias"] + _condition(layer, "masked", h, s, *p)
    convolved = _convolution(layer["masked"], np.maximum(narrow, 0), groups["features"], groups["features"])
    return _up(layer, np.maximum(convolved, 0), groups)


def _state(gates, cell):
    o, f, i = 1 / (1 + np.exp(-gates[:3]))
    cell = f * cell + i * np.tanh(gates[3])
    return o * np.tanh(cell), cell


def _row_lstm(layer, x, groups, h, s):
    height, width, _ = x.shape
    weights = layer["rows"]
    reach = len(weights["input"]["kernel"]) - 1

    @cache
    def state(r, c):
        if r < 0 or not 0 <= c < width:
            return tuple(weights["initial"]["bias"])
        gates = weights["input"]["bias"] + _condition(layer, "rows", h, s, r, c)
        for j in range(max(0, c - reach), c):
            gates = gates + np.tensordot(x[r, j], weights["input"]["kernel"][j - c + reach], axes=1)
        gates = gates + _in_each_gate(x[r, c], weights["input"]["kernel"][-1], groups)
        for j in range(-reach, reach + 1):
            gates = gates + np.tensordot(state(r - 1, c + j)[0], weights["state"]["kernel"][0, j + reach], axes=1)
        return _state(gates, state(r - 1, c)[1])

    return np.array([[_up(layer, state(r, c)[0], groups) for c in range(width)] for r in range(height)])


def _in_each_gate(x, kernel, groups):
    return np.stack([_masked(x, kernel[:, gate], groups["maps"], groups["features"]) for gate in range(4)])


def _diagonal_lstm(layer, x, groups, h, s):
    height, width, _ = x.shape

    @cache
    def state(direction, r, c):
        weights, before = layer[direction], -1 if direction == "from_left" else 1
        if r < 0 or not 0 <= c < width:
            return tuple(weights["initial"]["bias"])
        gates = weights["input"]["bias"] + _condition(layer, direction, h, s, r, c)
        if direction == "from_left":
            gates = gates + _in_each_gate(x[r, c], weights["input"]["kernel"], groups)
        else:
            gates = gates + np.tensordot(x[r, c], weights["input"]["kernel"], axes=1)
        side, above = state(direction, r, c + before), state(direction, r - 1, c)
        gates = gates + np.tensordot(above[0], weights["state"]["kernel"][0, 0], axes=1)
        gates = gates + np.tensordot(side[0], weights["state"]["kernel"][1, 0], axes=1)
        return _state(gates, side[1])

    def both(r, c):
        return state("from_left", r, c)[0] + (state("from_right", r - 1, c)[0] if r else 0)

    return np.array([[_up(layer, both(r, c), groups) for c in range(width)] for r in range(height)])
