"""Training and sampling speed of network R (``benchmarks.train_step``), against PyTorch.

python -m benchmarks.peers [--rounds=3]     needs the extra [peers]: torch, built for CPUs

PyTorch uses shifted channels-last convolutions, masks on a single tap, and its own multi-tensor AdamW, clipping and
EMA; logits are compared first. Rows are processes that take turns; the best round and microbatch size count. Without
bfloat16 instructions PyTorch's bfloat16 rows are skipped.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from tqdm import tqdm

BATCH, SIZE, LEVELS, FEATURES, LAYERS, FIRST, KERNEL = 32, 28, 256, 64, 7, 7, 3
SAMPLES = (1, 16, 64)  # batch sizes
SECONDS = 8.0  # per microbatch size and round


# The network in PyTorch


def make_network() -> Any:
    """Builds network R in PyTorch: [batch, height, width] to [batch, levels, ...]."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Layer(nn.Module):  # type: ignore[misc]
        """A gated layer (1606.05328, figure 2); the first has mask A."""

        def __init__(self, inputs: int, n: int, *, first: bool) -> None:
            super().__init__()
            rows, columns, self.first = n // 2 + (not first), n // 2 + 1, first
            self.vertical = nn.Conv2d(inputs, 2 * FEATURES, (rows, n))
            self.crossing = nn.Conv2d(2 * FEATURES, 2 * FEATURES, 1, bias=False)
            self.horizontal = nn.Conv2d(inputs, 2 * FEATURES, (1, columns))
            self.out = nn.Conv2d(FEATURES, FEATURES, 1)
            mask = torch.ones(1, inputs, 1, columns)
            mask[:, 1:, :, -1] = not first  # of the current pixel only the constant is known
            self.register_buffer("mask", mask)

        def across(self, x: Any) -> Any:
            kernel = self.horizontal.weight * self.mask if self.first else self.horizontal.weight
            return functional.conv2d(x, kernel, self.horizontal.bias)

        def forward(self, vertical: Any, horizontal: Any) -> tuple[Any, Any]:
            rows, n = self.vertical.kernel_size
            sums = self.vertical(functional.pad(vertical, (n // 2, n // 2, rows - 1, 0)))
            gated = gate(self.across(functional.pad(horizontal, (n // 2, 0, 0, 0))) + self.crossing(sums))
            out = self.out(gated)
            return gate(sums), out if self.first else out + horizontal

    def gate(x: Any) -> Any:
        tanh, sigmoid = x.chunk(2, dim=1)
        return torch.tanh(tanh) * torch.sigmoid(sigmoid)

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                [Layer(2, FIRST, first=True), *(Layer(FEATURES, KERNEL, first=False) for _ in range(LAYERS))]
            )
            self.hidden, self.logits = nn.Conv2d(FEATURES, FEATURES, 1), nn.Conv2d(FEATURES, LEVELS, 1)

        def encode(self, images: Any) -> Any:
            x = images[:, None].float() * (2 / (LEVELS - 1)) - 1
            return torch.cat([torch.ones_like(x), x], 1).contiguous(memory_format=torch.channels_last)

        def head(self, x: Any) -> Any:
            return self.logits(functional.relu(self.hidden(functional.relu(x))))

        def forward(self, images: Any) -> Any:
            horizontal = self.encode(images)
            vertical = functional.pad(horizontal, (0, 0, 1, 0))[:, :, :-1]
            for layer in self.layers:
                vertical, horizontal = layer(vertical, horizontal)
            return self.head(horizontal)

        def sample(self, batch: int) -> Any:
            """Draws images with cached rows above and columns left in every layer."""
            image = torch.zeros(batch, SIZE, SIZE, dtype=torch.long)
            rows = [
                torch.zeros(batch, layer.vertical.in_channels, layer.vertical.kernel_size[0] - 1, SIZE)
                for layer in self.layers
            ]
            last = torch.zeros(batch, 2, 1, SIZE)
            for row in range(SIZE):
                x, crossings = last, []
                for number, layer in enumerate(self.layers):
                    window = torch.cat([rows[number], x], 2)
                    rows[number], n = window[:, :, 1:], layer.vertical.kernel_size[1]
                    sums = layer.vertical(functional.pad(window, (n // 2, n // 2, 0, 0)))
                    crossings.append(layer.crossing(sums))
                    x = gate(sums)
                left = [
                    torch.zeros(batch, layer.vertical.in_channels, 1, layer.horizontal.kernel_size[1] - 1)
                    for layer in self.layers
                ]
                for column in range(SIZE):
                    x = self.encode(image[:, row : row + 1, column : column + 1])
                    for number, layer in enumerate(self.layers):
                        window = torch.cat([left[number], x], 3)
                        left[number] = window[..., 1:]
                        out = layer.out(gate(layer.across(window) + crossings[number][..., column : column + 1]))
                        x = out if layer.first else out + x
                    chances = torch.softmax(self.head(x)[:, :, 0, 0], 1)
                    image[:, row, column] = torch.multinomial(chances, 1)[:, 0]
                    # The first layer cached the pixel before it was drawn.
                    left[0][..., -1:] = self.encode(image[:, row : row + 1, column : column + 1])
                last = self.encode(image[:, row : row + 1])
            return image

    return Network()


def copy_parameters(network: Any, params: dict[str, Any]) -> None:
    import jax
    import torch

    def tensor(x: Any) -> Any:
        return torch.from_numpy(np.array(x))

    layers = [params["first"], *(jax.tree.map(lambda x, i=i: x[i], params["layers"]) for i in range(LAYERS))]
    with torch.no_grad():
        for layer, ours in zip(network.layers, layers, strict=True):
            rows, n, inputs = ours["vertical"]["kernel"].shape[:3]
            vertical = ours["vertical"]["kernel"].reshape(rows, n, inputs, -1)
            layer.vertical.weight.copy_(tensor(vertical).permute(3, 2, 0, 1))
            layer.vertical.bias.copy_(tensor(ours["vertical"]["bias"]).flatten())
            crossing = ours["crossing"]["kernel"].reshape(2 * FEATURES, 2 * FEATURES)
            layer.crossing.weight.copy_(tensor(crossing).T[..., None, None])
            horizontal = ours["horizontal"]["kernel"].reshape(-1, inputs, 2 * FEATURES)
            layer.horizontal.weight.copy_(tensor(horizontal).permute(2, 1, 0)[:, :, None])
            layer.horizontal.bias.copy_(tensor(ours["horizontal"]["bias"]).flatten())
            layer.out.weight.copy_(tensor(ours["out"]["kernel"]).T[..., None, None])
            layer.out.bias.copy_(tensor(ours["out"]["bias"]))
        for part, ours in ((network.hidden, params["head"]["hidden"]), (network.logits, params["head"]["logits"])):
            part.weight.copy_(tensor(ours["kernel"]).T[..., None, None])
            part.bias.copy_(tensor(ours["bias"]))


# One row of the table, in a process of its own


def seconds_of(step: Callable[[], Any], *, least: float = SECONDS) -> float:
    step()
    times: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < least or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times)


def with_torch(dtype: str, compiled: bool) -> dict[str, float]:
    """Measures training (images/s), sampling (s) and a matmul rate."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    network = make_network().to(memory_format=torch.channels_last)
    half = dtype == "bfloat16"
    average = [x.detach().clone() for x in network.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, foreach=True)
    images = torch.randint(0, LEVELS, (BATCH, SIZE, SIZE))
    forward = torch.compile(network) if compiled else network

    def step(part: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        for chunk in images.split(part):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = forward(chunk)
            loss = functional.cross_entropy(logits.float(), chunk, reduction="sum") / BATCH
            loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        optimizer.step()
        torch._foreach_lerp_(average, list(network.parameters()), 1e-3)

    result = {f"train {part}": BATCH / seconds_of(partial(step, part)) for part in (8, BATCH)}
    if not compiled and not half:
        with torch.no_grad():
            for batch in SAMPLES:
                result[f"sample {batch}"] = seconds_of(lambda batch=batch: network.sample(batch), least=1)
    square = torch.ones(2048, 2048, dtype=getattr(torch, dtype))
    return result | {"product": 2e-9 * 2048**3 / seconds_of(lambda: square @ square, least=1)}


def with_package(dtype: str) -> dict[str, float]:
    """Measures the same of the package, with the cores as devices."""
    import dataclasses

    import jax
    import jax.numpy as jnp

    from benchmarks.train_step import SPEC, network_r, stepper
    from experiments.paper import unconditional
    from pixelcnn_jax import sample
    from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch, use_all_cores

    use_all_cores(BATCH // 4)
    config, mesh = network_r(), data_mesh()
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, dtype=dtype))
    experiment = unconditional.make_experiment(config, SPEC)
    images = np.random.default_rng(0).integers(0, LEVELS, (BATCH, *SPEC.shape)).astype(np.int32)
    batch, result = shard_batch(mesh, {"image": images}), {}
    for part in (1, 2, 4, BATCH // mesh.size):  # on each device
        step, *_ = stepper(experiment, config, batch, replicated(mesh), part)
        result[f"train {part}"] = BATCH / seconds_of(lambda step=step: jax.block_until_ready(step()))
    if dtype == "float32":
        variables = {"params": experiment.init(jax.random.key(0))["params"]}
        for count in SAMPLES:
            draw = partial(sample, experiment.networks, variables, jax.random.key(1), shape=(count, SIZE, SIZE))
            result[f"sample {count}"] = seconds_of(lambda draw=draw: jax.block_until_ready(draw()), least=1)
    square = jnp.ones((2048, 2048), dtype)
    product = jax.jit(lambda x: jnp.matmul(x, x, preferred_element_type=jnp.float32))
    return result | {"product": 2e-9 * 2048**3 / seconds_of(lambda: product(square).block_until_ready(), least=1)}


def check_logits() -> None:
    import jax
    import torch

    from benchmarks.train_step import SPEC, network_r
    from experiments.paper import unconditional

    experiment = unconditional.make_experiment(network_r(), SPEC)
    variables = {"params": experiment.init(jax.random.key(1))["params"]}
    images = np.random.default_rng(2).integers(0, LEVELS, (2, *SPEC.shape))
    expected = jax.jit(experiment.networks.apply)(variables, images)[..., 0, :]
    network = make_network()
    copy_parameters(network, variables["params"])
    with torch.no_grad():
        result = network(torch.from_numpy(images[..., 0])).permute(0, 2, 3, 1)
    np.testing.assert_allclose(result, expected, atol=1e-4)


ROWS: dict[str, Callable[[], dict[str, float]]] = {
    "pixelcnn-jax, float32": partial(with_package, "float32"),
    "PyTorch, float32": partial(with_torch, "float32", False),
    "PyTorch compiled, float32": partial(with_torch, "float32", True),
    "pixelcnn-jax, bfloat16": partial(with_package, "bfloat16"),
    "PyTorch, bfloat16 autocast": partial(with_torch, "bfloat16", False),
    "PyTorch compiled, bfloat16 autocast": partial(with_torch, "bfloat16", True),
}


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU has bfloat16 instructions; true if unknown."""
    return not cpuinfo.exists() or bool(re.search(r"\b(amx_bf16|avx512_bf16|bf16)\b", cpuinfo.read_text()))


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True, help="Number of processes of each row.")
@click.option("--row", type=click.Choice([*ROWS]), help="Measure one row in this process.")
def main(rounds: int, row: str | None) -> None:
    if row:
        print(json.dumps(ROWS[row]()))
        return
    check_logits()
    best: dict[str, dict[str, float]] = {}
    names = [name for name in ROWS if has_bfloat16() or "autocast" not in name]
    for name in ROWS.keys() - names:
        print(f"{name}: skipped, since this processor has no instructions for it", file=sys.stderr)
    for name in tqdm(names * rounds, "measuring", unit="row", disable=None):
        command = [sys.executable, "-m", "benchmarks.peers", f"--row={name}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{name}: {done.stderr.strip().splitlines()[-1:]}, exit status {done.returncode}", file=sys.stderr)
            continue
        result = best.setdefault(name, {})
        for what, value in json.loads(done.stdout.splitlines()[-1]).items():
            better = min if what.startswith("sample") else max
            result[what] = better(value, result.get(what, value))
    print(f"{'':36} images/s  of part   GFLOP/s" + "".join(f"  {size:>3} drawn, s" for size in SAMPLES))
    for name, result in best.items():
        part = max((what for what in result if what.startswith("train")), key=lambda what: result[what])
        drawn = "".join(f"  {result[key]:12.3f}" if (key := f"sample {size}") in result else "" for size in SAMPLES)
        print(
            f"{name:36} {result[part]:8.1f} {part.removeprefix('train '):>8} {result['product']:9.0f}{drawn}",
            flush=True,
        )
    print(json.dumps({"benchmark": "peers", "rows": best}))


if __name__ == "__main__":
    main()
