"""Seconds from the command to the first training step that is on record.

python -m benchmarks.first_step [--runs=2] [--config=configs/digits.py]

Starts `python -m experiments.unconditional` in a new folder, as a user would, with a record after each step, and stops
it when metrics.jsonl holds its first line. Compiled programs are not kept between runs, so each is cold but for the
files that the system has in memory; the fastest counts, all are printed. The CPU time that it took is printed too: on a
machine that does other work, the seconds are mostly that work's.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

RUNS = flags.DEFINE_integer("runs", 2, "how often the command is started")
CONFIG = flags.DEFINE_string("config", "configs/digits.py", "of which config")
TARGET = 15.0


def cpu_seconds() -> float:
    """CPU time of all ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def first_step(config: str) -> tuple[float, float]:
    """Seconds to the first line of the record, and of CPU time; raises RuntimeError for a run that ends before."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        record, log = workdir / "metrics.jsonl", Path(folder) / "log"
        command = [sys.executable, "-m", "experiments.unconditional", f"--config={config}", f"--workdir={workdir}"]
        with log.open("w") as output:
            began, cpu_began = time.perf_counter(), cpu_seconds()
            process = subprocess.Popen([*command, "--config.log_every=1"], stdout=output, stderr=output)
            try:
                while not (record.exists() and record.stat().st_size):
                    if process.poll() is not None:
                        raise RuntimeError(f"The run ended before its first step: {log.read_text()}")
                    time.sleep(0.01)
                seconds = time.perf_counter() - began
            finally:
                process.kill()
                process.wait()
            return seconds, cpu_seconds() - cpu_began


def main(_: list[str]) -> None:
    """Prints the seconds and, last, all of it as JSON."""
    runs = [first_step(CONFIG.value) for _ in range(RUNS.value)]
    seconds, cpu = min(runs)
    print(f"{CONFIG.value}: first step on record after {seconds:.1f} s (at most {TARGET:.0f}), {cpu:.1f} s of CPU time")
    result = {"benchmark": "first_step", "config": CONFIG.value, "seconds": seconds, "cpu_s": cpu, "target_s": TARGET}
    print(json.dumps(result | {"all_s": [found for found, _ in runs]}))


if __name__ == "__main__":
    app.run(main)
