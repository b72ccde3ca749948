"""Mixed-precision matmuls and convolutions."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, Shaped


def product(
    x: Float[Array, "*positions_and_inputs"],
    kernel: Float[Array, "*inputs_and_outputs"],
    *,
    axes: int = 1,
    result: DTypeLike | None = None,
    precision: jax.lax.Precision | None = None,
) -> Float[Array, "*positions_and_outputs"]:
    """Contracts the last axes of ``x`` with the first of a kernel.

    If ``x`` and the kernel have different dtypes, it multiplies in the kernel's, and accumulates and returns in that of
    ``x``. Its gradients do, too.

    Args:
      axes: number of contracted axes.
      result: result dtype if both dtypes are equal; None keeps it.
    """
    flat = kernel.reshape(math.prod(kernel.shape[:axes]), -1)
    x = x.reshape(*x.shape[:-axes], len(flat))
    if x.dtype == kernel.dtype:
        sums = jnp.tensordot(x, _fast_gradient(flat), axes=1, precision=precision, preferred_element_type=result)
    else:
        sums = _mixed_product(lambda x: x, x, flat)
    return sums.reshape(*sums.shape[:-1], *kernel.shape[axes:])


def window_product(
    window: Float[Array, "batch rows columns features"],
    kernel: Float[Array, "kernel_rows kernel_columns features *out"],
    *,
    stride: int = 1,
) -> Float[Array, "batch new_rows new_columns *out"]:
    """Convolves a window without padding (VALID).

    A convolution on GPU and TPU, im2col on CPU, where XLA's convolutions use one core. Dtypes as in ``product``.
    """
    rows, columns, features, *out = kernel.shape
    flat = kernel.reshape(rows * columns * features, -1)
    gather = partial(im2col, rows=rows, columns=columns, stride=stride)
    if window.dtype == kernel.dtype:
        convolve = partial(_convolution, shape=(rows, columns, features, -1), stride=stride)
        sums = jax.lax.platform_dependent(
            window, flat, cpu=lambda window, flat: gather(window) @ _fast_gradient(flat), default=convolve
        )
    else:
        sums = _mixed_product(gather, window, flat)
    return sums.reshape(*sums.shape[:-1], *out)


def _convolution(window: Array, flat: Array, *, shape: tuple[int, ...], stride: int) -> Array:
    numbers, kernel = ("NHWC", "HWIO", "NHWC"), flat.reshape(shape)
    return jax.lax.conv_general_dilated(window, kernel, (stride, stride), "VALID", dimension_numbers=numbers)


@jax.custom_jvp
def _fast_gradient(kernel: Float[Array, "inputs out"]) -> Float[Array, "inputs out"]:
    """Returns the kernel; its gradient is multiplied as [out, inputs], the faster order on CPU, then transposed."""
    return kernel


# The barrier keeps XLA from undoing it.
_fast_gradient.defjvps(lambda tangent, *_: jax.lax.optimization_barrier(tangent.T).T)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mixed_product(
    read: Callable[[Array], Array], x: Float[Array, "*shape"], kernel: Float[Array, "inputs out"]
) -> Float[Array, "*positions out"]:
    """Multiplies ``read(x)``, a linear rearrangement, by a kernel, as ``product``."""
    return _forward_product(read, x, kernel)[0]


def _forward_product(read: Callable[[Array], Array], x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    operand = x.astype(kernel.dtype)
    return jnp.tensordot(_copied(read, operand), kernel, axes=1, preferred_element_type=x.dtype), (operand, kernel)


def _backward_product(
    read: Callable[[Array], Array], saved: tuple[Array, Array], gradient: Float[Array, "*positions out"]
) -> tuple[Array, Array]:
    (x, kernel), operand = saved, gradient.astype(saved[1].dtype)
    to_read = jnp.tensordot(operand, kernel.T, axes=1, preferred_element_type=gradient.dtype)
    (to_x,) = jax.linear_transpose(read, jax.ShapeDtypeStruct(x.shape, gradient.dtype))(to_read)
    # All positions at once and gradient first: other orders are slower on CPU. The barrier keeps XLA from fusing the
    # transpose into the matmul, which jaxlib 0.10.2 cannot run.
    positions = tuple(range(gradient.ndim - 1))
    over = ((positions, positions), ((), ()))
    to_kernel = jax.lax.dot_general(operand, _copied(read, x), over, preferred_element_type=gradient.dtype)
    return to_x, jax.lax.optimization_barrier(to_kernel).T.astype(kernel.dtype)


def _copied(read: Callable[[Array], Array], x: Array) -> Array:
    """Applies ``read`` to bits: XLA on CPU would copy bfloat16 through float32."""
    bits = jnp.dtype(f"uint{8 * x.dtype.itemsize}")
    return jax.lax.bitcast_convert_type(read(jax.lax.bitcast_convert_type(x, bits)), x.dtype)


_mixed_product.defvjp(_forward_product, _backward_product)


def im2col(
    window: Shaped[Array, "batch rows columns features"], rows: int, columns: int, stride: int = 1
) -> Shaped[Array, "batch new_rows new_columns taps_times_features"]:
    """Gathers the taps of each position of a window (im2col)."""
    height, width = window.shape[1] - rows + 1, window.shape[2] - columns + 1
    taps = [window[:, i : i + height : stride, j : j + width : stride] for i in range(rows) for j in range(columns)]
    return jnp.concatenate(taps, axis=-1)
