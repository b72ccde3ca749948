"""Time from the training command to the first record, without compilation cache."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.timing import NOTHING_COMPILED, children_cpu_seconds
from pixelcnn_jax.foundation.user_command import UserCommand


def first_step(config: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        workdir, log = Path(folder) / "run", Path(folder) / "log"
        record = workdir / "metrics.jsonl"
        command = [sys.executable, "-m", "experiments.train", f"--config={config}", f"--workdir={workdir}"]
        with log.open("w") as output:
            began, cpu_began = time.perf_counter(), children_cpu_seconds()
            process = subprocess.Popen(
                [*command, "--config.train.log_every=1"], stdout=output, stderr=output, env=NOTHING_COMPILED
            )
            try:
                while not (record.exists() and record.stat().st_size):
                    if process.poll() is not None:
                        raise RuntimeError(f"The run ended before its first step: {log.read_text()}")
                    time.sleep(0.01)
                seconds = time.perf_counter() - began
            finally:
                process.kill()
                process.wait()
            return seconds, children_cpu_seconds() - cpu_began


@click.command(cls=UserCommand, help=__doc__)
@click.option("--runs", default=2, show_default=True, help="Number of times that the command is started.")
@click.option("--config", default="configs/digits.py", show_default=True, help="Config of the run.")
def main(runs: int, config: str) -> None:
    measured = [first_step(config) for _ in range(runs)]
    seconds, cpu = min(measured)
    print(f"{config}: first step recorded after {seconds:.1f} s, {cpu:.1f} s of CPU time")
    result = {"benchmark": "first_step", "config": config, "seconds": seconds, "cpu_s": cpu}
    print(json.dumps(result | {"all_s": [x for x, _ in measured]}))


if __name__ == "__main__":
    main()
