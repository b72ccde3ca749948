"""What a run would need, told without computing or allocating any of it: ``--dry_run`` on a command line of training.

Parameters, the memory that a step must have, its arithmetic: all of it from shapes, by tracing.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict

from pixelcnn_jax.data.dataset import Images
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, init_state, make_optimizer

MB, GIGA = 10**6, 10**9


def needs(config: ConfigDict, experiment: Experiment, images: Images) -> dict[str, Any]:
    """Prints what training would need; returns the figures, which the command line prints as JSON.

    Bytes are of arrays as they are written down: what XLA computes anew or in place of another it saves besides.

    - ``state_bytes``: parameters, their average, Adam's moments; all of it on every device.
    - ``gradient_bytes``: of the parameters, on every device.
    - ``kept_bytes``: what the forward pass keeps for the backward one, of as many images as are computed at a time,
      over all devices. ``config.model.remat`` and ``config.at_once`` are against it. A CPU keeps more of a convolution,
      which is a matrix product there (``layers.window_product``).
    - ``step_flops``: two for each multiply-add of the products and convolutions, forward and backward, of a batch.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(partial(init_state, experiment, make_optimizer(config)), key)
    at_once = config.at_once or config.batch_size
    part: dict[str, Any] = {"image": jax.ShapeDtypeStruct((at_once, *images.shape), jnp.int32)}
    if images.classes is not None:
        part["label"] = jax.ShapeDtypeStruct((at_once,), jnp.int32)

    def loss(params: Params, part: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return jnp.mean(experiment.loss(params, part | {"step": jnp.zeros((), jnp.int32)}, key))

    def keep(params: Params, part: Batch, key: Key[Array, ""]) -> list[Array]:
        return jax.tree.leaves(jax.vjp(lambda params: loss(params, part, key), params)[1])

    kept = jax.make_jaxpr(keep)(state.params, part, key)
    step = jax.make_jaxpr(jax.value_and_grad(loss))(state.params, part, key)
    groups = group_sizes(state.params)
    figures = {
        "parameters": sum(groups.values()),
        "state_bytes": bytes_of(state),
        "gradient_bytes": bytes_of(state.params),
        "kept_bytes": kept_bytes(kept.jaxpr, branch=-1),
        "kept_bytes_on_cpu": kept_bytes(kept.jaxpr, branch=0),
        "at_once": at_once,
        "step_flops": 2 * products(step.jaxpr) * (config.batch_size // at_once),
        "batch_size": config.batch_size,
    }
    print(f"{'parameters':32} {'count':>14} {'MB':>10}")
    for name, count in (groups | {"all": figures["parameters"]}).items():
        print(f"{name:32} {count:14,} {4 * count / MB:10.2f}")
    shared = figures["state_bytes"] + figures["gradient_bytes"]
    print(f"on every device: {shared / MB:,.0f} MB of state and gradient")
    print(
        f"over all devices: {figures['kept_bytes'] / MB:,.0f} MB kept for the backward pass, {at_once} images at once "
        f"(on CPU {figures['kept_bytes_on_cpu'] / MB:,.0f})"
    )
    print(f"a step of {config.batch_size} images: {figures['step_flops'] / GIGA:,.1f} GFLOP")
    return figures


def group_sizes(params: Params) -> dict[str, int]:
    """How many numbers there are in each part of each network, by name."""
    sizes: Counter[str] = Counter()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [str(entry.key) for entry in path if entry.key != "params"]
        sizes["/".join(names[:2] if len(names) > 3 else names[:1])] += leaf.size
    return dict(sizes)


def bytes_of(tree: Any) -> int:
    """The bytes of all arrays of a tree; a key is counted as the words that it is."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree) if hasattr(leaf, "size"))


def kept_bytes(jaxpr: Any, *, branch: int) -> int:
    """The bytes of what a computation returns, but for what it was given, where the platform takes such a branch."""
    kept = {id(variable): variable for variable in jaxpr.outvars}.values()
    given = {id(variable) for variable in jaxpr.invars}
    computed = [variable for variable in kept if id(variable) not in given and is_computed(jaxpr, variable, branch)]
    return sum(variable.aval.size * variable.aval.dtype.itemsize for variable in computed)


def is_computed(jaxpr: Any, variable: Any, branch: int, given: Callable[[int], bool] = lambda place: True) -> bool:
    """Whether a result is more than a constant: each branch hands on zeros in place of what another keeps.

    ``given`` tells it of what the computation is given, by its place.
    """
    equation = next((one for one in jaxpr.eqns if any(out is variable for out in one.outvars)), None)
    if equation is None:
        return any(given(place) for place, input in enumerate(jaxpr.invars) if input is variable)

    def of_input(place: int) -> bool:
        return is_computed(jaxpr, equation.invars[place], branch, given)

    bodies = list(inside(equation.params))
    if bodies:
        body = bodies[branch] if equation.primitive.name == "cond" else bodies[0]
        result = next(inner for inner, out in zip(body.outvars, equation.outvars, strict=True) if out is variable)
        before = len(equation.invars) - len(body.invars)  # of a choice, which branch it is
        return is_computed(body, result, branch, lambda place: of_input(before + place))
    return bool(equation.invars) and (equation.primitive.name != "broadcast_in_dim" or of_input(0))


def products(jaxpr: Any) -> int:
    """The multiply-adds of all products and convolutions of a computation.

    A loop is counted as often as it runs, where that is known; of alternatives, as of platforms, the dearest.
    """
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        shapes = [variable.aval.shape for variable in equation.invars[:2] if hasattr(variable.aval, "shape")]
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            total += equation.outvars[0].aval.size * math.prod(shapes[0][i] for i in contracted)
        elif name == "conv_general_dilated":
            output_features = equation.params["dimension_numbers"].rhs_spec[0]
            total += equation.outvars[0].aval.size * math.prod(shapes[1]) // shapes[1][output_features]
        inner = [products(sub) for sub in inside(equation.params)]
        total += max(inner, default=0) if name == "cond" else sum(inner) * equation.params.get("length", 1)
    return total


def inside(params: dict[str, Any]) -> Iterator[Any]:
    """The computations that an equation holds."""
    for value in params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            closed = getattr(one, "jaxpr", one)
            if hasattr(closed, "eqns"):
                yield closed
