"""The integers of a sum: their noise, on values whose channels are correlated, averaged over kernels."""

import numpy as np
import pytest

from pixelcnn_jax.codec.rounding import Operand, Statistics, fit_sum

COUNT, CHANNELS, OUTPUTS = 1000, 12, 6


def statistics(values):
    return Statistics(np.abs(values).max(0), values.mean(0), np.cov(values.T, bias=True))


def cases(count):
    """Positive values with a common part, and kernels masked by colour: the first half reads the first half only."""
    for seed in range(count):
        random = np.random.default_rng(seed)
        common = random.gamma(2, size=(COUNT, 1))
        values = common * random.uniform(0.5, 2, CHANNELS) + random.gamma(1, size=(COUNT, CHANNELS))
        kernel = random.normal(size=(CHANNELS, OUTPUTS)) * np.repeat([8, 1], CHANNELS // 2)[:, None]
        kernel[CHANNELS // 2 :, : OUTPUTS // 2] = 0
        yield values, kernel, random.normal(size=OUTPUTS)


def noise(values, kernel, bias, fitted):
    """The error of the sum in integers: its mean square around the mean, and the square of the mean."""
    ((step, reach),) = fitted.ranges
    operand = np.clip(np.rint(values * 2.0**step), -reach, reach)
    error = (operand @ fitted.kernels[0] + fitted.bias) * 2.0**-fitted.step - values @ kernel - bias
    return error.var(axis=0).mean(), (error.mean(axis=0) ** 2).mean()


def coarse(values, kernel):
    """An operand of 17 bits, so that few are left to its weights."""
    return Operand(kernel, statistics(values), (12, np.ceil(values.max(0) * 2.0**12)))


def test_rounded_weights_compensate_for_one_another_and_the_bias_for_their_mean():
    sums = np.zeros((3, 2))
    for values, kernel, bias in cases(10):
        operand = coarse(values, kernel)
        nearest = operand._replace(seen=operand.seen._replace(covariance=np.eye(CHANNELS)))
        no_mean = operand._replace(seen=operand.seen._replace(mean=np.zeros(CHANNELS)))
        fitted = [fit_sum([one], bias, np.zeros(OUTPUTS)) for one in (operand, nearest, no_mean)]
        assert not fitted[0].kernels[0][CHANNELS // 2 :, : OUTPUTS // 2].any()
        sums += [noise(values, kernel, bias, one) for one in fitted]
    (variance, mean), (variance_of_nearest, _), (_, mean_left) = sums
    assert variance < 0.8 * variance_of_nearest
    assert mean < 0.1 * mean_left


@pytest.mark.parametrize("shared", [False, True])
def test_the_steps_of_an_operand_add_the_least_noise(shared):
    sums = np.zeros(3)
    for values, kernel, bias in cases(5):
        free = Operand(kernel, statistics(values), shared=shared)
        ((best, _),) = fit_sum([free], bias, np.zeros(OUTPUTS)).ranges
        for place, change in enumerate((0, -2, 2)):
            step = best + change
            fixed = free._replace(range=(step, np.ceil(free.seen.largest * 1.5 * 2.0**step)))
            sums[place] += noise(values, kernel, bias, fit_sum([fixed], bias, np.zeros(OUTPUTS)))[0]
    assert sums[0] < sums[1:].min()


def test_statistics_of_parts_are_those_of_all():
    values, _, _ = next(cases(1))
    parts = np.split(np.sort(values, axis=0), [400, 990])
    joined, seen = statistics(parts[0]), len(parts[0])
    for part in parts[1:]:
        seen += len(part)
        joined = joined.merge(statistics(part), len(part) / seen)
    for actual, expected in zip(joined, statistics(np.sort(values, axis=0)), strict=True):
        np.testing.assert_allclose(actual, expected)
