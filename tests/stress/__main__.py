"""Attacks everything, prints a table and ends with a line of JSON: make stress ARGS="--seed=1".

PYTHONPATH=tests python -m stress [--seed=0] [--only=SECTION,...] [--count=N]

Each section runs in a process of its own, as many at a time as there are cores. A case may take 20 s of processor time
and 2 GB of resident memory; a process that reports nothing for ten minutes is ended, which counts as a failure.
"""

import faulthandler
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import click

from stress import calls, fuzz, workdirs
from stress.judge import REFUSED, RIGHT

ATTACKS = {  # the cases of a whole run, the longest sections first
    "containers": (fuzz.attack_containers, 10_000),
    "damaged workdirs": (workdirs.attack_workdirs, 80),
    "names": (fuzz.attack_names, 800),
    "command lines": (calls.attack_lines, len(calls.LINES)),
}
SILENCE = 600  # seconds
MAX_MEMORY = 12 * 2**30  # bytes of address space, most of which is not resident
ENVIRONMENT = {
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_PLATFORMS": "cpu",
    "MPLBACKEND": "Agg",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    # Fuzzed shapes are compiled once and hardly computed.
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
}


def attack(section, count, seed):
    """Runs one section in this process; prints a line of JSON for each case."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))  # else the system ends other processes
    faulthandler.dump_traceback_later(SILENCE, exit=True)

    def report(record):
        faulthandler.dump_traceback_later(SILENCE, exit=True)
        print(json.dumps(record), flush=True)

    ATTACKS[section][0](report, seed=seed, count=count)


def attacked(section, count, seed):
    """Runs one section in a process of its own. Returns its row of the table."""
    began = time.monotonic()
    line = [sys.executable, "-W", "ignore", "-m", "stress", f"--only={section}", f"--count={count}", f"--seed={seed}"]
    done = subprocess.run([*line, "--here"], capture_output=True, text=True)
    records = [json.loads(text) for text in done.stdout.splitlines() if text.startswith('{"outcome"')]
    outcomes = [record["outcome"] for record in records]
    failures = [record for record in records if record["outcome"] not in (REFUSED, RIGHT)]
    if done.returncode:
        failures.append(f"the process ended with {done.returncode}: {done.stderr[-500:]}")
    for failure in failures:
        print(f"{section}: {failure}", file=sys.stderr, flush=True)
    return {
        "section": section,
        "cases": len(records),
        "refused": outcomes.count(REFUSED),
        "right": outcomes.count(RIGHT),
        "failed": len(failures),
        "slowest, s": round(max((record["seconds"] for record in records), default=0), 1),
        "largest, MB": round(max((record["megabytes"] for record in records), default=0)),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }


@click.command()
@click.option("--seed", default=0, show_default=True, help="Seed of every choice.")
@click.option("--only", default=",".join(ATTACKS), help="Sections, separated by commas.")
@click.option("--count", type=int, help="Cases of each section.")
@click.option("--here", is_flag=True, hidden=True)
def main(seed, only, count, here):
    """Attack everything as a stranger would."""
    if here:
        attack(only, count, seed)
        return
    rows, cores = [], len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="stress-") as folder, ThreadPoolExecutor(cores) as pool:
        os.environ |= ENVIRONMENT | {"TMPDIR": folder, "JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
        for row in pool.map(lambda name: attacked(name, count or ATTACKS[name][1], seed), only.split(",")):
            if not rows:
                print(f"| {' | '.join(row)} |\n{'|---' * len(row)}|")
            print(f"| {' | '.join(f'{x:,}' if isinstance(x, int) else str(x) for x in row.values())} |", flush=True)
            rows.append(row)
    cases, failed = (sum(row[name] for row in rows) for name in ("cases", "failed"))
    machine = f"{platform.machine()}, {cores} cores"
    print(json.dumps({"seed": seed, "cases": cases, "failed": failed, "machine": machine, "sections": rows}))
    sys.exit(min(1, failed))


if __name__ == "__main__":
    main()
