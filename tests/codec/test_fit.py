import numpy as np
import pytest

from pixelcnn_jax.codec.fit import Operand, Seen, fit_sum

RANDOM = np.random.default_rng(0)
COUNT, CHANNELS, OUTPUTS = 4000, 12, 5


def seen(values):
    return Seen(np.abs(values).max(0), values.mean(0), np.cov(values.T, bias=True))


def values_and_kernel():
    """Positive values with a common part, and a kernel with a masked block."""
    common = RANDOM.gamma(2, size=(COUNT, 1))
    values = common * RANDOM.uniform(0.5, 2, CHANNELS) + RANDOM.gamma(1, size=(COUNT, CHANNELS))
    kernel = RANDOM.normal(size=(CHANNELS, OUTPUTS)) * np.repeat([8, 1], CHANNELS // 2)[:, None]
    kernel[6:, :2] = 0
    return values, kernel


def noise(values, kernel, bias, fitted):
    """The mean square error of the sum in integers."""
    ((step, reach),) = fitted.ranges
    operand = np.clip(np.rint(values * 2.0**step), -reach, reach)
    return np.mean(((operand @ fitted.kernels[0] + fitted.bias) * 2.0**-fitted.step - values @ kernel - bias) ** 2)


def test_rounded_weights_make_up_for_one_another():
    values, kernel = values_and_kernel()
    bias, steps = RANDOM.normal(size=OUTPUTS), np.zeros(OUTPUTS)
    # Operands have 17 bits, so that few are left to the weights.
    coarse = Operand(kernel, seen(values), (12, np.ceil(values.max(0) * 2.0**12)))
    independent = coarse._replace(seen=coarse.seen._replace(covariance=np.eye(CHANNELS), mean=np.zeros(CHANNELS)))
    compensated, nearest = (fit_sum([one], bias, steps) for one in (coarse, independent))
    assert not compensated.kernels[0][6:, :2].any()
    assert noise(values, kernel, bias, compensated) < 0.2 * noise(values, kernel, bias, nearest)


@pytest.mark.parametrize("shared", [False, True])
def test_the_steps_of_an_operand_are_the_quietest(shared):
    values, kernel = values_and_kernel()
    bias, steps = RANDOM.normal(size=OUTPUTS), np.zeros(OUTPUTS)
    free = Operand(kernel, seen(values), shared=shared)
    best = fit_sum([free], bias, steps)
    ((step, _),) = best.ranges
    least = noise(values, kernel, bias, best)
    for change in (-2, 2):
        moved = step + change
        fixed = free._replace(range=(moved, np.ceil(free.seen.largest * 1.5 * 2.0**moved)))
        assert least < noise(values, kernel, bias, fit_sum([fixed], bias, steps))
