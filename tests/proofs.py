"""The laws that hold for every model, as functions that any model's tests call.

A Jacobian is taken through the float entry behind the integer images and laid out as a matrix over the sub-pixels in
raster order, colour within pixel: entry [i, j] says how the outputs of the head for sub-pixel i depend on sub-pixel j.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM, log_prob, naive_sample, sample
from pixelcnn_jax.models.autoregressive import as_dtypes, encode
from pixelcnn_jax.models.inputs import Condition

NOTHING = Condition()


def randomised(variables, seed=7, scale=0.3):
    """Variables moved off their initial values, so that no bias is zero and no symmetry is left."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: jnp.asarray(np.asarray(x) + scale * generator.normal(size=x.shape).astype(np.float32)), variables
    )


def as_on_an_accelerator(monkeypatch):
    """Makes what is traced from now on use the operations of a GPU or TPU."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *inputs, cpu, default: default(*inputs))
    jax.clear_caches()


def random_images(model, shape, key=0):
    return jax.random.randint(jax.random.key(key), (*shape, model.channels), 0, model.levels)


def random_condition(shape, h=0, s=0, key=5):
    batch, height, width = shape
    return Condition(
        jax.random.normal(jax.random.key(key), (batch, h)) if h else None,
        jax.random.normal(jax.random.key(key + 1), (batch, height, width, s)) if s else None,
    )


def dependence(model, variables, shape, condition=NOTHING, inputs=12):
    """Whether each logit depends on each sub-pixel [sub-pixel, sub-pixel], for some of several random images."""
    height, width = shape
    size = height * width * model.channels
    per_channel = max(1, model.code_features)

    def of_features(features):
        params = as_dtypes(model, variables["params"], jnp.float32)
        return model.forward(params, features, condition)[0].reshape(size, model.outputs)

    @jax.jit
    def jacobian(key):
        images = jax.random.randint(key, (1, height, width, model.channels), 0, model.levels)
        features = encode(model, variables["params"], images, jnp.float32)
        # Products of mixed types have no forward derivative.
        derivative = jax.jacfwd if model.dtype == jnp.float32 else jax.jacrev
        jacobian = derivative(of_features)(features)[:, :, 0, :, :, 1:]
        return jnp.abs(jacobian.reshape(size, model.outputs, size, per_channel)).max(axis=(1, 3)) > 0

    return np.any([jacobian(key) for key in jax.random.split(jax.random.key(11), inputs)], axis=0)


def receptive_field(model, shape):
    """Finds the sub-pixels that each logit should depend on, by following the taps of its network alone.

    A logit depends on the earlier colours of its own pixel. Features of a finished pixel depend on whole pixels, and on
    all colours of their own pixel but the last, which no feature there reads.
    """
    height, width = shape
    pixels = list(itertools.product(range(height), range(width)))
    walk = {GatedPixelCNN: _gated_walk, PixelCNN: _masked_walk, RowLSTM: _row_walk, DiagonalBiLSTM: _diagonal_walk}
    known = walk[type(model)](model, pixels)
    field = np.zeros((*shape, model.channels, *shape, model.channels), bool)
    for (r, c), colour in itertools.product(pixels, range(model.channels)):
        for subpixel in known[r, c]:
            field[r, c, colour, *subpixel] = True
        field[r, c, colour, r, c] = np.arange(model.channels) < colour
    size = len(pixels) * model.channels
    return field.reshape(size, size)


def _around(known, pixel, rows, columns):
    """Lists the taps of a pixel inside the image."""
    r, c = pixel
    return frozenset().union(*(known.get((r + i, c + j), ()) for i in rows for j in columns))


def _colours(pixels, count):
    return {p: frozenset((*p, colour) for colour in range(count)) for p in pixels}


def _gated_walk(model, pixels):
    first, rest = model.first_kernel_size // 2, model.kernel_size // 2
    image = _colours(pixels, model.channels)
    vertical = {p: _around(image, p, range(-first, 0), range(-first, first + 1)) for p in pixels}
    horizontal = {p: _around(image, p, [0], range(-first, 0)) | vertical[p] for p in pixels}
    for layer in range(model.layers):
        if layer in model.attentions:
            vertical = {p: frozenset().union(*(vertical[q] for q in pixels if 0 <= p[0] - q[0] < 32)) for p in pixels}
        vertical = {p: _around(vertical, p, range(-rest, 1), range(-rest, rest + 1)) for p in pixels}
        horizontal = {p: _around(horizontal, p, [0], range(-rest, 1)) | vertical[p] for p in pixels}
    return horizontal


def _taps_walk(known, pixels, n):
    """The taps of a masked n x n convolution before the centre."""
    reach = n // 2
    above = {p: _around(known, p, range(-reach, 0), range(-reach, reach + 1)) for p in pixels}
    return {p: above[p] | _around(known, p, [0], range(-reach, 0)) for p in pixels}


def _first_walk(model, pixels):
    """The first layer of the predecessors, where unlike in the gated one features of the own pixel matter."""
    known = _taps_walk(_colours(pixels, model.channels), pixels, model.first_kernel_size)
    return {p: known[p] | colours for p, colours in _colours(pixels, model.channels - 1).items()}


def _masked_walk(model, pixels):
    known = _first_walk(model, pixels)
    for _ in range(model.layers):
        before = _taps_walk(known, pixels, model.kernel_size)
        known = {p: known[p] | before[p] for p in pixels}
    return known


def _row_walk(model, pixels):
    known, reach = _first_walk(model, pixels), model.kernel_size // 2
    for _ in range(model.layers):
        states = {}
        for p in pixels:  # in raster order: the row above is finished
            states[p] = _around(known, p, [0], range(-reach, 1)) | _around(states, p, [-1], range(-reach, reach + 1))
        known = states
    return known


def _diagonal_walk(model, pixels):
    known = _first_walk(model, pixels)
    for _ in range(model.layers):
        from_left, from_right = {}, {}
        for p in pixels:
            from_left[p] = known[p] | _around(from_left, p, [0], [-1]) | _around(from_left, p, [-1], [0])
        for p in sorted(pixels, key=lambda p: (p[0], -p[1])):
            from_right[p] = known[p] | _around(from_right, p, [0], [1]) | _around(from_right, p, [-1], [0])
        known = {p: from_left[p] | _around(from_right, p, [-1], [0]) for p in pixels}
    return known


def assert_causal(model, variables, shape, condition=NOTHING):
    """A logit has an exactly zero Jacobian with respect to its own sub-pixel and all later ones."""
    depends = dependence(model, variables, shape, condition)
    assert not np.triu(depends).any(), f"sub-pixels that see the future: {np.argwhere(np.triu(depends))[:5].tolist()}"


def assert_complete(model, variables, shape, condition=NOTHING):
    """A logit depends on every earlier sub-pixel of its receptive field, colours included, and on nothing else."""
    depends, expected = dependence(model, variables, shape, condition), receptive_field(model, shape)
    assert (depends >= expected).all(), f"blind to: {np.argwhere(expected & ~depends)[:5].tolist()}"
    assert (depends <= expected).all(), f"too wide: {np.argwhere(depends & ~expected)[:5].tolist()}"


def all_images(model, shape):
    """Every image of a tiny shape [levels ** sub-pixels, height, width, channels]."""
    height, width = shape
    size = height * width * model.channels
    grid = np.array(list(itertools.product(range(model.levels), repeat=size)), np.int32)
    return grid.reshape(-1, height, width, model.channels)


def enumerate_probabilities(model, variables, shape, condition=NOTHING):
    """p of every image of a tiny shape, given one condition [1, ...]."""
    images = all_images(model, shape)
    repeated = jax.tree.map(lambda x: jnp.repeat(x, len(images), axis=0), condition)
    return np.exp(np.asarray(log_prob(model, variables, images, h=repeated.h, s=repeated.s), np.float64))


def assert_normalised(model, variables, shape, condition=NOTHING):
    """The probabilities of all images of a tiny shape sum to one."""
    np.testing.assert_allclose(enumerate_probabilities(model, variables, shape, condition).sum(), 1, rtol=1e-5)


def assert_same(model, variables, shape, condition=NOTHING, **given):
    """Cached sampling gives the images that naive sampling gives from the same noise, sub-pixel for sub-pixel."""
    arguments = dict(shape=shape, h=condition.h, s=condition.s, **given)
    cached = sample(model, variables, jax.random.key(3), **arguments)
    naive = naive_sample(model, variables, jax.random.key(3), **arguments)
    np.testing.assert_array_equal(cached, naive)
    return cached


def assert_faithful(model, variables, shape, condition=NOTHING, *, count=4000, sampler: Callable = sample):
    """Samples follow the enumerated distribution: a chi-square test that a true sampler fails once in 1,000 seeds."""
    probabilities = enumerate_probabilities(model, variables, shape, condition)
    repeated = jax.tree.map(lambda x: jnp.repeat(x, count, axis=0), condition)
    images = sampler(model, variables, jax.random.key(1), shape=(count, *shape), h=repeated.h, s=repeated.s)
    assert_follow(np.asarray(images), probabilities, levels=model.levels)


def assert_follow(images, probabilities, *, levels):
    """Images [count, ...] are draws of a distribution over all of them, in the order of ``all_images``: chi-square."""
    count = len(images)
    digits = images.reshape(count, -1)
    index = digits @ (levels ** np.arange(digits.shape[1])[::-1])
    observed = np.bincount(index, minlength=len(probabilities))
    # Cells too rare for the chi-square approximation are counted together.
    rare = probabilities * count < 5
    expected = np.append(probabilities[~rare], probabilities[rare].sum()) * count
    observed = np.append(observed[~rare], observed[rare].sum())
    kept = expected > 0
    result = stats.chisquare(observed[kept], expected[kept] * (observed.sum() / expected[kept].sum()))
    assert result.pvalue > 1e-3, f"samples do not follow the model: p = {result.pvalue:.1e}"
