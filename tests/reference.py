"""Figure 2 of 1606.05328 written out pixel by pixel in NumPy, to compare the fast implementation with.

No shifted convolution, no memory, no matrix of all pixels: at each pixel the taps are visited one by one, those before
the image being zero, and a product with the current pixel asks of each pair of features whether its colours allow it.
"""

import numpy as np
from scipy import special, stats


def group(feature, features, channels):
    return feature * channels // features


def reference_logits(model, params, image, h=None, s=None):
    """Outputs [height, width, channels, outputs] for one image [height, width, channels]: logits without a mixture."""
    params = {name: _numpy(value) for name, value in params.items()}
    height, width, channels = image.shape
    first, pixel_groups = read(model, params, image)
    feature_groups = [group(j, model.features, channels) for j in range(model.features)]
    vertical, horizontal = _layer(
        params["first"], first, first, h, s, model.first_kernel_size, pixel_groups, feature_groups, first=True
    )
    for index in range(model.layers):
        if index in model.attentions:
            vertical = _attend(_at(params["attention"], model.attentions.index(index)), vertical)
        layer = _at(params["layers"], index)
        vertical, horizontal = _layer(
            layer, vertical, horizontal, h, s, model.kernel_size, feature_groups, feature_groups, first=False
        )
    hidden_groups = [group(j, model.head_width, channels) for j in range(model.head_width)]
    class_groups = [j // model.outputs for j in range(channels * model.outputs)]
    head, out = params["head"], np.zeros((height, width, channels * model.outputs))
    for r, c in np.ndindex(height, width):
        hidden = _masked(np.maximum(horizontal[r, c], 0), head["hidden"]["kernel"], feature_groups, hidden_groups)
        hidden = np.maximum(hidden + head["hidden"]["bias"], 0)
        out[r, c] = _masked(hidden, head["logits"]["kernel"], hidden_groups, class_groups) + head["logits"]["bias"]
    return out.reshape(height, width, channels, model.outputs)


def reference_mixture(numbers, levels):
    """Probabilities [..., levels] of a mixture: differences of SciPy's cumulative distribution."""
    count = numbers.shape[-1] // 3
    weights, means, scales, ends = np.split(np.float64(numbers)[..., None], (count, 2 * count, 3 * count), axis=-2)
    weights = special.softmax(np.concatenate([weights, ends - 6], axis=-2), axis=-2)
    means = means + ((2 * np.arange(count) + 1) / count - 1)[:, None]
    edges = np.concatenate([[-np.inf], (2 * np.arange(levels - 1) + 1) / (levels - 1) - 1, [np.inf]])
    cumulative = stats.logistic.cdf(edges, means, np.exp(np.clip(scales - np.log(2 * count), -7, 7)))
    probabilities = (weights[..., :count, :] * np.diff(cumulative)).sum(axis=-2)
    if ends.shape[-2]:
        probabilities[..., [0, -1]] += weights[..., count:, 0]
    return probabilities


def read(model, params, image):
    """Returns the input of the first layer at each pixel, and the colour group of each number, -1 for none."""
    height, width, channels = image.shape
    values = 2 * image / (model.levels - 1) - 1
    if model.code_features:
        table = params["embedding"]["kernel"]
        each = [
            [[table[colour, image[r, c, colour]] for colour in range(channels)] for c in range(width)]
            for r in range(height)
        ]
        values = np.array(each).reshape(height, width, -1)
    groups = [-1, *(colour for colour in range(channels) for _ in range(max(1, model.code_features)))]
    return np.concatenate([np.ones((height, width, 1)), values], axis=-1), groups


def _layer(layer, vertical, horizontal, h, s, n, input_groups, feature_groups, *, first):
    height, width, _ = vertical.shape
    features = len(feature_groups)
    next_vertical, next_horizontal = np.zeros((height, width, features)), np.zeros((height, width, features))
    for r, c in np.ndindex(height, width):
        above = layer["vertical"]["bias"].copy()
        top = n // 2
        for i in range(-top, 0 if first else 1):
            for j in range(-(n // 2), n // 2 + 1):
                if r + i >= 0 and 0 <= c + j < width:
                    above += np.einsum(
                        "i,iho->ho", vertical[r + i, c + j], layer["vertical"]["kernel"][i + top, j + n // 2]
                    )
        across = layer["horizontal"]["bias"] + np.einsum("ki,kiho->ho", above, layer["crossing"]["kernel"])
        for j in range(-(n // 2), 0):
            if c + j >= 0:
                across += np.einsum("i,iho->ho", horizontal[r, c + j], layer["horizontal"]["kernel"][j + n // 2])
        for half in range(2):
            kernel = layer["horizontal"]["kernel"][-1, :, half]
            across[half] += _masked(horizontal[r, c], kernel, input_groups, feature_groups, first=first)
        if h is not None:
            above = above + np.einsum("i,iho->ho", h, layer["vertical_h"])
            across = across + np.einsum("i,iho->ho", h, layer["horizontal_h"])
        if s is not None:
            above = above + np.einsum("i,iho->ho", s[r, c], layer["vertical_s"])
            across = across + np.einsum("i,iho->ho", s[r, c], layer["horizontal_s"])
        next_vertical[r, c] = _gate(above)
        out = _masked(_gate(across), layer["out"]["kernel"], feature_groups, feature_groups) + layer["out"]["bias"]
        next_horizontal[r, c] = out if first else horizontal[r, c] + out
    return next_vertical, next_horizontal


def _attend(block, x):
    """Adds to each pixel what it reads in its own row and the 31 rows above."""
    places = np.moveaxis(np.indices(x.shape[:2]), 0, -1)
    angles = 2 * np.pi * places[..., None] / [8, 32]
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(*x.shape[:2], 8)
    numbers = np.concatenate([x, places / 32, waves], axis=-1) @ block["read"]["kernel"] + block["read"]["bias"]
    (query, key, value), out = np.split(numbers, (8, 16), axis=-1), x + block["out"]["bias"]
    for r, c in np.ndindex(x.shape[:2]):
        seen = slice(max(0, r - 31), r + 1)
        weights = special.softmax(key[seen] @ query[r, c] / np.sqrt(8))
        out[r, c] += np.einsum("rc,rcv->v", weights, value[seen]) @ block["out"]["kernel"]
    return out


def _gate(pair):
    return np.tanh(pair[0]) / (1 + np.exp(-pair[1]))


def _masked(x, kernel, inputs, outputs, *, first=False):
    allowed = [[i < o if first else i <= o for o in outputs] for i in inputs]
    return x @ (kernel * np.array(allowed))


def _numpy(tree):
    return {k: _numpy(v) for k, v in tree.items()} if isinstance(tree, dict) else np.asarray(tree, np.float64)


def _at(tree, index):
    return {k: _at(v, index) for k, v in tree.items()} if isinstance(tree, dict) else tree[index]
