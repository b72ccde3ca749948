"""A decoder of version 2, and a sampler, in plain NumPy integers: no JAX, nothing of the package.

It shares no code with the package, so that its agreement is a proof: the files depend on integers alone.
"""

import itertools
import struct

import numpy as np

LOW = 1 << 24


def read_file(data):
    """Returns shape, levels, images of a group, lanes, side of the tiles, and the stream of each group."""
    magic, version, length = struct.unpack_from("<8sHQ", data)
    assert (magic, version, length) == (b"\x93PCNN\r\n\x1a", 2, len(data))
    _, *shape, levels, group_size, lanes, tile, extra = struct.unpack_from("<16sQIIIIIIII", data, 18)
    at, lengths = 18 + 56 + extra, []
    for _ in windows_of(shape, group_size, tile):
        length = shift = 0
        while True:
            byte, at = data[at], at + 1
            length, shift = length | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        lengths.append(length)
    ends = at + np.cumsum(lengths)
    streams = [data[end - size : end] for end, size in zip(ends, lengths, strict=True)]
    return tuple(shape), levels, group_size, lanes, tile, streams


def windows_of(shape, group_size, tile):
    """Returns images, rows and columns of each group: in tiles, if there are any, by row and column."""
    steps = zip(shape[:3], (group_size, tile or shape[1], tile or shape[2]), strict=True)
    parts = [[slice(at, min(at + step, size)) for at in range(0, size, step)] for size, step in steps]
    return list(itertools.product(*parts))


def read_params(arrays):
    """Returns nested integers from the flat arrays of a safetensors file, the layers as a list."""
    tree = {}
    for name, array in arrays.items():
        *parents, last = name.split(".")[1:]
        part = tree
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = array.astype(np.int64)

    def pick(part, index):
        return {name: pick(x, index) if isinstance(x, dict) else x[index] for name, x in part.items()}

    count = len(tree["layers"]["out"]["bias"])
    return tree | {"layers": [tree["first"], *(pick(tree["layers"], index) for index in range(count))]}


def rescale(sums, shift):
    return (sums + (np.int64(1) << (shift - 1))) >> shift


def clip(x, reach):
    return np.clip(x, -reach, reach)


def inputs(params, pixels, levels):
    values = 2 * pixels - (levels - 1)  # of which products read 12 bits
    if "embedding" in params:
        table = params["embedding"]["kernel"]
        values = table[np.arange(len(table)), pixels].reshape(*pixels.shape[:-1], -1)
    return np.concatenate([np.ones_like(pixels[..., :1]), values], axis=-1)


def read_by_products(params, x, levels):
    shift = 0 if "embedding" in params else max(0, (levels - 1).bit_length() - 12)
    return np.concatenate([x[..., :1], rescale(x[..., 1:], shift)], axis=-1) if shift else x


def shares_of(exp, logits, temperature):
    """Returns sums of the exponentials of the first logits, from none to all; the last has 16 bits."""
    below = (logits.max(axis=-1, keepdims=True) - logits) * int(256 / temperature + 0.5) + 128 >> 8
    below = np.minimum(below, len(exp) - 1)
    sums = np.insert(np.cumsum(exp[below], axis=-1), 0, 0, axis=-1)
    return np.stack([row >> max(0, int(row[-1]).bit_length() - 16) for row in sums])


def bounds_of(tables, outputs, levels, temperature=1):
    """Returns the bounds of the levels' intervals, from 0 to 2**16, or 2**20 for a mixture."""
    if "logistic" in tables:
        return bounds_of_mixture(tables, outputs, levels, temperature)
    sums = shares_of(tables["exp"], outputs, temperature)
    return np.arange(levels + 1) + sums * ((1 << 16) - levels) // sums[:, -1:]


def mixture_of(tables, outputs, size, temperature=1):
    """Returns weights, means, slopes and their shifts of a mixture whose first symbol has so many values."""
    count = outputs.shape[-1] // 3
    weights, means, scales, ends = np.split(outputs, [count, 2 * count, 3 * count], axis=-1)
    sums = shares_of(tables["exp"], np.concatenate([weights, ends], axis=-1), temperature)
    weights = np.diff(sums * ((1 << 16) - (size + 15) // 16) // sums[:, -1:])[:, None]
    index = np.clip(scales + int(np.floor(64 * np.log(temperature) + 0.5)), 0, len(tables["slopes"]) - 1)
    return weights, means[:, None], *(tables[name][index][:, None] for name in ("slopes", "slope_shifts"))


def bounds_of_mixture(tables, outputs, levels, temperature):
    weights, means, slopes, shifts = mixture_of(tables, outputs, levels, temperature)
    count = means.shape[-1]
    inner, reach = np.arange(1, levels), len(tables["logistic"]) // 2
    edges = (2 * inner - levels) << (14 - (levels - 1).bit_length())
    arguments = rescale(clip(edges[:, None] - means, np.minimum((1 << 20) - 1, (1 << 30) // slopes)) * slopes, shifts)
    heights = tables["logistic"][np.clip(arguments, -reach, reach) + reach]
    below = (weights[..., :count] * heights).sum(axis=-1) + (weights[..., count : count + 1].sum(axis=-1) << 16)
    return np.pad(inner + (below >> 12), ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1 << 20)))


def heights_of(tables, mixture, levels, edges):
    """Returns every component's distribution function below some levels of each image, by a table of 22 bits."""
    weights, means, slopes, shifts = mixture
    distances = ((2 * edges - levels) << (17 - (levels - 1).bit_length()))[..., None] - means
    arguments = rescale(clip(distances, np.minimum((1 << 20) - 1, (1 << 30) // slopes)) * slopes, shifts)
    reach, edges, top = len(tables["logistic"]) // 2 << 8, edges[..., None], 1 << 22
    index = np.clip(arguments, -reach, reach - 1) + reach
    low, high = tables["logistic"][index >> 8], tables["logistic"][(index >> 8) + 1]
    ends = np.zeros((*edges.shape[:2], weights.shape[-1] - means.shape[-1]), int)
    ends[..., :1] = top
    heights = np.concatenate([low + ((high - low) * (index & 255) >> 8), ends], axis=-1)
    return np.where(edges <= 0, 0, np.where(edges >= levels, top, heights))


def bounds_of_bytes(tables, outputs, levels, high=None):
    """Returns the bounds of the high byte or, given the high bytes, of the low byte."""
    size = (levels + 255) // 256
    mixture = weights, *_ = mixture_of(tables, outputs, size)
    if high is None:
        values = np.arange(size + 1)
        heights = heights_of(tables, mixture, levels, 256 * values + np.zeros((len(outputs), 1), int))
        bounds = values + ((weights * (heights >> 6)).sum(axis=-1) >> 12)
        bounds[:, -1] = 1 << 20
        return bounds
    values = np.arange(257)
    edges = 256 * high[:, None] + values
    heights = heights_of(tables, mixture, levels, edges)
    rises = heights - heights[:, :1]
    sums = (weights * (rises >> 6)).sum(axis=-1) + ((weights * (rises & 63)).sum(axis=-1) >> 6) + 4 * values
    sums = np.where(sums[:, -1:] < 1 << 25, (weights * rises).sum(axis=-1) + 256 * values, sums)
    sums = np.stack([row >> int(row[-1]).bit_length() - 16 for row in sums])
    return np.where(edges < levels, values + 16 * (sums * ((1 << 16) - 16) // sums[:, -1:]), 1 << 20)


class Network:
    """The network, advanced by row, pixel and colour for some images."""

    def __init__(self, params, levels, channels, count, width, h, s):
        self.params, self.levels, self.channels = params, levels, channels
        self.count, self.width, self.h, self.s = count, width, h, s
        kernels = [layer["vertical"]["kernel"].shape for layer in params["layers"]]
        self.rows = [np.zeros((count, rows - 1, width, size), np.int64) for rows, _, size, *_ in kernels]

    def gate(self, sums, shifts):
        tables = self.params["tables"]["tanh"], self.params["tables"]["sigmoid"]
        arguments = rescale(sums, shifts)
        tanh, sigmoid = (
            table[clip(arguments[..., half, :], len(table) // 2) + len(table) // 2] for half, table in enumerate(tables)
        )
        return rescale(tanh * sigmoid, 12 if "logistic" in self.params["tables"] else 14)

    def condition(self, layer, stack, row):
        terms = 0
        if self.h is not None:
            terms = np.tensordot(self.h, layer[f"{stack}_h"], axes=1)[:, None]
        if self.s is not None:
            shifts, clips = self.params["condition"]["shifts"], self.params["condition"]["clips"]
            rounded = clip(self.s[:, row] << -shifts["s"], clips["s"])
            terms = terms + np.tensordot(rounded, layer[f"{stack}_s"], axes=1)
        return terms

    def start_row(self, row, above):
        """Reads the finished row above [count, width, channels], or None above the image."""
        x = np.zeros((self.count, self.width, self.rows[0].shape[-1]), np.int64)
        x = x if above is None else inputs(self.params, above, self.levels)
        self.crossings, self.columns, self.above = [], [], np.pad(x[..., 1:], ((0, 0), (1, 0), (0, 0)))
        for index, layer in enumerate(self.params["layers"]):
            kernel = layer["vertical"]["kernel"]
            x = x if index else read_by_products(self.params, x, self.levels)
            window = np.concatenate([self.rows[index], x[:, None]], axis=1)
            self.rows[index] = window[:, 1:]
            border = kernel.shape[1] // 2
            padded = np.pad(window, ((0, 0), (0, 0), (border, border), (0, 0)))
            sums = layer["vertical"]["bias"] + sum(
                np.tensordot(padded[:, i, j : j + self.width], kernel[i, j], axes=1)
                for i, j in np.ndindex(kernel.shape[:2])
            )
            crossing = clip(rescale(sums, layer["shifts"]["crossing"]), layer["clips"]["crossing"])
            crossing = np.tensordot(crossing, layer["crossing"]["kernel"], axes=2) + layer["horizontal"]["bias"]
            x = self.gate(sums + self.condition(layer, "vertical", row), layer["shifts"]["vertical"])
            self.crossings.append(crossing + self.condition(layer, "horizontal", row))
            columns, size = layer["horizontal"]["kernel"].shape[:2]
            self.columns.append(np.zeros((self.count, columns - 1, size), np.int64))

    def outputs(self, column, pixel, colour):
        """Returns the outputs [count, outputs] of a colour, which reads the colours of ``pixel`` before it."""
        features, self.inputs = None, []
        for layer, crossing, left in zip(self.params["layers"], self.crossings, self.columns, strict=True):
            current = inputs(self.params, pixel, self.levels)
            if features is not None:
                current = clip(rescale(features, layer["shifts"]["input"]), layer["clips"]["input"])
            self.inputs.append(current)
            window = np.concatenate([left, current[:, None]], axis=1)
            window = window if features is not None else read_by_products(self.params, window, self.levels)
            sums = crossing[:, column] + np.tensordot(window, layer["horizontal"]["kernel"], axes=2)
            gated = self.gate(sums, layer["shifts"]["horizontal"])
            out = rescale(gated @ layer["out"]["kernel"] + layer["out"]["bias"], layer["shifts"]["out"])
            features = clip(out if features is None else features + out, layer["clips"]["residual"])
        head, size = self.params["head"], self.params["head"]["logits"]["bias"].size // self.channels
        outputs = slice(colour * size, (colour + 1) * size)
        shifts, clips = head["shifts"], head["clips"]
        x = np.clip(rescale(features, shifts["input"]), 0, clips["input"])
        x = rescale(x @ head["hidden"]["kernel"] + head["hidden"]["bias"], shifts["hidden"])
        x = np.clip(x, 0, clips["hidden"])
        sums = x @ head["logits"]["kernel"][:, outputs] + head["logits"]["bias"][outputs]
        outputs = rescale(sums, shifts["logits"][outputs])
        count = self.params.get("components", 0)
        return self.predicted(outputs, count, column, pixel, colour) if size > 3 * count + 2 > 2 else outputs

    def predicted(self, outputs, count, column, pixel, colour):
        """Adds to the means a linear prediction, the mean of left and above, and coefficients times differences."""
        x, left = inputs(self.params, pixel, self.levels)[:, 1:], self.columns[0][:, -1, 1:]
        corner, above = self.above[:, column], self.above[:, column + 1]
        twice = left + above
        terms = [(left - above)[:, colour], (2 * corner - twice)[:, colour]]
        terms += [(2 * x - twice)[:, i] if i < colour else 0 * x[:, i] for i in range(self.channels - 1)]
        numbers, coefficients = np.split(outputs, [-count * len(terms)], axis=1)
        bits, is_wide = (self.levels - 1).bit_length(), self.levels > 1 << 12
        reach = (1 << (31 if is_wide else 24)) // (4 * len(terms) * (self.levels - 1)) - 1
        pairs = zip(np.split(clip(coefficients, reach), len(terms), axis=1), terms, strict=True)
        prediction = twice[:, colour, None] << ((16 if is_wide else 13) - bits)
        products = sum(c * term[:, None] for c, term in pairs)
        numbers[:, count : 2 * count] += prediction + rescale(products, bits - 6 if is_wide else 5)
        return numbers

    def finish_pixel(self, column, pixel):
        self.outputs(column, pixel, 0)  # the inputs of all layers, now that all colours are known
        self.columns = [
            np.concatenate([left[:, 1:], current[:, None]], axis=1)
            for left, current in zip(self.columns, self.inputs, strict=True)
        ]


def subpixels(network, images):
    """Yields each pixel of all images, a colour, and its outputs; the pixel gets its value meanwhile."""
    for row in range(images.shape[1]):
        network.start_row(row, images[:, row - 1] if row else None)
        for column in range(images.shape[2]):
            pixel = images[:, row, column]
            for colour in range(images.shape[3]):
                yield pixel, colour, network.outputs(column, pixel, colour)
            network.finish_pixel(column, pixel)


def decode_group(params, levels, shape, lanes, stream, h, s, trace=None, number=0):
    """Returns the images of one group, which is tile ``number``. ``trace`` is a list that gets what was read."""
    count, _, width, channels = shape
    network, images, at = Network(params, levels, channels, count, width, h, s), np.zeros(shape, np.int64), 4 * lanes
    total = 20 if "logistic" in params["tables"] else 16
    states = list(struct.unpack_from(f"<{lanes}I", stream))

    def pop(bounds):
        nonlocal at
        values = np.zeros(count, np.int64)
        for image in range(count):
            state, edges = states[image % lanes], [int(bound) for bound in bounds[image]]
            slot = state & ((1 << total) - 1)
            value = int(np.searchsorted(edges, slot, side="right")) - 1
            if trace is not None:
                step = {"state": state, "outputs": outputs[image].tolist(), "bounds": edges}
                trace.append(step | {"slot": slot, "value": value})
            state = (edges[value + 1] - edges[value]) * (state >> total) + slot - edges[value]
            while state < LOW:
                state, at = state << 8 | stream[at], at + 1
            states[image % lanes], values[image] = state, value
        return values

    for pixel, colour, outputs in subpixels(network, images):
        if levels > 1 << 12:
            high = pop(bounds_of_bytes(params["tables"], outputs, levels))
            pixel[:, colour] = 256 * high + pop(bounds_of_bytes(params["tables"], outputs, levels, high))
        else:
            pixel[:, colour] = pop(bounds_of(params["tables"], outputs, levels))
    assert stream[at:] == bytes(max(0, 4 * -(-images.size // 4096) - at))
    assert all(state == LOW + number for state in states)
    return images


def decode(arrays, data, h=None, s=None, components=0):
    """Returns all images of a file, with the arrays of the network's safetensors file; h and s hold integers."""
    shape, levels, group_size, lanes, tile, streams = read_file(data)
    params, images = read_params(arrays) | {"components": components}, np.zeros(shape, np.int64)
    windows = windows_of(shape, group_size, tile)
    tiles = sum(window[0].start == 0 for window in windows)
    for index, (window, stream) in enumerate(zip(windows, streams, strict=True)):
        part = images[window]
        conditions = [x if x is None else np.asarray(x)[at].astype(np.int64) for x, at in ((h, window[0]), (s, window))]
        part[...] = decode_group(params, levels, part.shape, lanes, stream, *conditions, number=index % tiles)
    return images


def slots_of(seeds, count, bits):
    """Returns a slot of each sub-pixel: the hash of its index times 0x9E3779B9 plus the hash of the seed."""

    def hashed(x):
        for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97), (15, 1)):
            x = (x ^ x >> np.uint64(shift)) * np.uint64(factor) & np.uint64(0xFFFFFFFF)
        return x

    steps = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B9) + hashed(np.uint64(seeds))[:, None]
    return (hashed(steps & np.uint64(0xFFFFFFFF)) >> np.uint64(32 - bits)).astype(np.int64)


def draw(arrays, levels, shape, seeds, h=None, given=None, temperature=1, components=0):
    """Returns images drawn from the slots of their seeds, but for the pixels of ``given`` that are not -1."""
    params, images = read_params(arrays) | {"components": components}, np.zeros(shape, np.int64)
    network = Network(params, levels, shape[3], shape[0], shape[2], h, None)
    slots = slots_of(seeds, images[0].size, 20 if "logistic" in params["tables"] else 16)
    given = np.full(slots.shape, -1) if given is None else np.reshape(given, slots.shape)
    for index, (pixel, colour, outputs) in enumerate(subpixels(network, images)):
        bounds = bounds_of(params["tables"], outputs, levels, temperature)
        drawn = (bounds[:, 1:] <= slots[:, index, None]).sum(axis=1)
        pixel[:, colour] = np.where(given[:, index] < 0, drawn, given[:, index])
    return images
