"""Attacks everything, prints a table and ends with a line of JSON: make stress ARGS="--seed=1".

PYTHONPATH=tests python -m stress [--seed=0] [--share=1.0] [--only=SECTION,...] [--count=N]

Each section runs in a process of its own, as many at a time as there are cores. A case may take 20 s of processor time
and 2 GB of resident memory; a process that says nothing for ten minutes is ended and its case counts as a hang.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import click

COUNTS = {  # of a whole run, the longest sections first
    "kills": 30,
    "containers": 10_000,
    "damaged workdirs": 80,
    "checkpoints": 1000,
    "cards": 1000,
    "weights": 800,
    "configs": 900,
    "names": 800,
    "command lines": 154,
    "full disks": 2,
}
SILENCE = 600  # seconds
MOST_MEMORY = 12 * 2**30  # bytes of address space, most of which is not resident
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
    from stress import calls, fuzz, workdirs

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))  # else the system ends other processes

    def report(record):
        print(json.dumps(record), flush=True)

    if section in fuzz.SECTIONS:
        fuzz.fuzz(section, count, seed, report)
    elif section == "command lines":
        calls.attack_lines(report=report, every=max(1, COUNTS[section] // count))
    elif section == "damaged workdirs":
        workdirs.attack_workdirs(report=report, seed=seed, count=count)
    elif section == "kills":
        workdirs.attack_by_kills(report=report, seed=seed, count=count)
    elif section == "full disks":
        workdirs.attack_disks(report=report)
    else:
        workdirs.attack_by_saves(report=report, count=count)


def watched(section, count, seed):
    """Returns the records of a section that runs in a subprocess."""
    from stress.judge import is_failure

    line = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "stress",
        f"--section={section}",
        f"--count={count}",
        f"--seed={seed}",
    ]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    records, complaint = [], []
    reader = threading.Thread(target=lambda: complaint.append(process.stderr.read()), daemon=True)
    reader.start()
    heard = [time.monotonic()]

    def end_if_silent():
        while process.poll() is None:
            if time.monotonic() - heard[0] > SILENCE:
                process.kill()
            time.sleep(1)

    threading.Thread(target=end_if_silent, daemon=True).start()
    for text in process.stdout:
        heard[0] = time.monotonic()
        if text.startswith('{"outcome"'):
            records.append(json.loads(text))
            if is_failure(records[-1]):
                print(f"{section}: {records[-1]}", file=sys.stderr, flush=True)
    if process.wait():
        reader.join()
        end = {"outcome": f"the process ended with {process.returncode}: {complaint[0][-500:]}"}
        records.append(end | {"seconds": 0, "megabytes": 0, "case": f"after {len(records)} cases"})
        print(f"{section}: {records[-1]}", file=sys.stderr, flush=True)
    return records


def row(section, records, seconds):
    from stress.judge import REFUSED, RIGHT

    outcomes = Counter(record["outcome"] for record in records)
    return {
        "section": section,
        "cases": sum(record.get("kills", 1) for record in records),
        "refused": outcomes[REFUSED],
        "right": outcomes[RIGHT],
        "failed": len(records) - outcomes[REFUSED] - outcomes[RIGHT],
        "slowest, s": round(max((record["seconds"] for record in records), default=0), 1),
        "largest, MB": round(max((record["megabytes"] for record in records), default=0)),
        "minutes": round(seconds / 60, 1),
    }


@click.command()
@click.option("--seed", default=0, show_default=True, help="Seed of every choice.")
@click.option("--share", default=1.0, show_default=True, help="Share of the cases of a whole run.")
@click.option("--only", default="", help="Sections, separated by commas.")
@click.option("--count", type=int, help="Cases of each section, in place of a share.")
@click.option("--section", hidden=True)
def main(seed, share, only, count, section):
    """Attack everything as a stranger would."""
    if section:
        attack(section, count, seed)
        return

    def attacked(name):
        began = time.monotonic()
        records = watched(name, count or max(1, round(share * COUNTS[name])), seed)
        return row(name, records, time.monotonic() - began)

    rows, cores = [], len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="stress-") as folder, ThreadPoolExecutor(cores) as pool:
        os.environ |= ENVIRONMENT | {"TMPDIR": folder, "JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
        for one in pool.map(attacked, only.split(",") if only else COUNTS):
            rows.append(one)
            if len(rows) == 1:
                print("| " + " | ".join(one) + " |\n" + "|---" * len(one) + "|")
            print(
                "| " + " | ".join(f"{x:,}" if isinstance(x, int) else str(x) for x in one.values()) + " |", flush=True
            )
    failed = sum(one["failed"] for one in rows)
    cases = sum(one["cases"] for one in rows)
    machine = f"{platform.machine()}, {cores} cores"
    print(json.dumps({"seed": seed, "cases": cases, "failed": failed, "machine": machine, "sections": rows}))
    sys.exit(min(1, failed))


if __name__ == "__main__":
    main()
