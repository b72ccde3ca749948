"""Attacks on a run: kills at random moments, damaged files, a full disk, and a thousand checkpoints."""

import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import jax
import numpy as np
from tiny_runs import ROOT, assert_same_bits, assert_same_values, command, records, run

from pixelcnn_jax.training.checkpoint import Checkpoints
from stress.judge import REFUSED, RIGHT, judge, one_sentence

KINDS = ("emptied", "cut", "flipped", "garbage", "appended", "nested", "missing", "a folder")
SMALL_DISK = 400 * 1024  # bytes; a tiny run needs about 2 MB


def new_folder():
    return Path(tempfile.mkdtemp(prefix="stress-run-"))


def whole_run():
    """Returns the workdir of a tiny run that nothing has interrupted."""
    workdir = new_folder() / "run"
    run(workdir)
    return workdir


def damage(file, kind, generator):
    content = file.read_bytes()
    at = generator.randrange(max(1, len(content)))
    contents = {
        "emptied": b"",
        "cut": content[:at],
        "flipped": content[:at]
        + bytes(x ^ 1 << generator.randrange(8) for x in content[at : at + 1])
        + content[at + 1 :],
        "garbage": generator.randbytes(len(content)),
        "appended": content + b"\0garbage",
        "nested": b"[" * 10**5,
    }
    if kind in contents:
        file.write_bytes(contents[kind])
        return
    file.unlink()
    if kind == "a folder":
        file.mkdir()


def resumed(workdir, whole, name):
    """Goes on after a file was damaged."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        run(workdir)
    lines = said.getvalue().splitlines()
    assert all(map(one_sentence, lines)), lines
    assert_same_values(workdir, whole)
    mine, theirs = ({(one["step"], key) for one in records(folder) for key in one} for folder in (workdir, whole))
    assert theirs <= mine or any(name in line for line in lines), "records are lost and not named"
    return RIGHT


def attack_workdirs(*, report, seed, count):
    """Damages files of a workdir, and goes on: the end has the bits of a whole run, or the damage is named."""
    generator, whole = random.Random(seed), whole_run()
    files = [file.relative_to(whole) for file in sorted(whole.rglob("*")) if file.is_file() and file.name != "lock"]
    top = [file for file in files if len(file.parts) == 1]
    for index in range(count):
        kind = KINDS[index % len(KINDS)]
        file = generator.choice(top if index % 3 else files)
        workdir = new_folder() / "run"
        shutil.copytree(whole, workdir)
        if file.name != "result.json":
            (workdir / "result.json").unlink()  # a run that is not finished
        damage(workdir / file, kind, generator)
        report(judge(lambda workdir=workdir, file=file: resumed(workdir, whole, file.name), f"{file} {kind}"))
        shutil.rmtree(workdir.parent)


def attack_by_kills(*, report, seed, count):
    """Kills runs at random moments until that many kills are done; each run is started again until it ends."""
    generator, whole, kills = random.Random(seed), whole_run(), 0
    usual = 60.0  # seconds of a whole run, until one has been timed
    while kills < count:
        workdir, moments = new_folder() / "run", []
        while True:
            began = time.monotonic()
            process = subprocess.Popen(command(workdir), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                moment = generator.uniform(0.2, 1.1) * usual
                _, complaint = process.communicate(timeout=moment if len(moments) < 5 else None)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                moments.append(round(moment, 1))
                print(f"killed after {moments[-1]} s", flush=True)  # a sign of life
        kills += len(moments)
        if not moments:
            usual = time.monotonic() - began

        def check(process=process, complaint=complaint, workdir=workdir):
            assert process.returncode == 0, complaint.decode()
            assert_same_bits(workdir, whole)
            return RIGHT

        report(judge(check, f"killed after {moments} s") | {"kills": len(moments)})


def attack_disks(*, report):
    """Trains and draws where the disk is full."""
    folder = new_folder()
    line = " ".join(["exec", *command(folder / "disk" / "run")])
    draw = f"{command('')[0]} -m pixelcnn_jax.cli sample digits -o {folder}/disk/a.png --count 1"
    (folder / "disk").mkdir()
    for name, what in (
        ("training", line),
        ("drawing", f"dd if=/dev/zero of={folder}/disk/full bs=4k 2>/dev/null; {draw}"),
    ):
        mount = f"mount -t tmpfs -o size={SMALL_DISK} tmpfs {folder}/disk || exit 99"

        def check(mount=mount, what=what):
            done = subprocess.run(
                ["unshare", "-rm", "sh", "-c", f"{mount}; {what}"], cwd=ROOT, capture_output=True, text=True
            )
            if done.returncode == 99:
                return RIGHT  # not permitted here
            complaint = done.stderr.strip()
            return REFUSED if done.returncode == 1 and one_sentence(complaint) else f"{done.returncode}: {complaint}"

        report(judge(check, f"{name} on a disk of {SMALL_DISK // 1024} KB"))


def resources():
    megabytes = int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024
    return len(os.listdir("/proc/self/fd")), threading.active_count(), megabytes


def attack_by_saves(*, report, count):
    """Saves that many checkpoints: open files, threads and memory stay as they were after the first ones."""
    checkpoints = Checkpoints(new_folder() / "checkpoints")
    state = {"a": jax.numpy.zeros(1000), "step": np.zeros((), np.int32)}
    before = []

    def save(step):
        checkpoints.save(step, state)
        if step == min(20, count // 2):
            before.extend(resources())
        return RIGHT

    for step in range(1, count):
        report(judge(lambda step=step: save(step), f"checkpoint {step}"))

    def compare():
        save(count)
        files, threads, megabytes = (now - then for now, then in zip(resources(), before, strict=True))
        grown = files > 2 or threads > 2 or megabytes > 100
        return f"grew by {files} files, {threads} threads, {megabytes:.0f} MB" if grown else RIGHT

    report(judge(compare, f"after {count} checkpoints"))
