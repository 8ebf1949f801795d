"""A sweep by workers that do not see its folder, stopped by hand and gone on with, one of its engines killed."""
import json
import os
import signal
import subprocess
import time

from ray_testing import RAY, ROOT, TEXTS, differing, engine, running

JOBS = 4


def planned(base, name):
    sweep = {
        "format": "quantease-sweep",
        "version": 1,
        "models": ["demo"],
        "calibration": {"text": str(TEXTS / "calibration.txt"), "samples": 2, "length": 32, "heldOut": 0},
        "evaluation": {"text": str(TEXTS / "evaluation.txt"), "samples": 1, "length": 32},
        "methods": ["gptq", {"method": "quantease", "options": {"iterations": 12}}],
        "options": {"bits": [3, 4], "groupSize": 32},
        "save": True,
    }
    (base / "apart.json").write_text(json.dumps(sweep))
    engine("sweep", "plan", str(base / "apart.json"), "--out", str(base / name))
    return base / name


def results(folder):
    return [path.parent.name for path in folder.glob("jobs/*/result.json")]


def begin(folder):
    words = [*RAY, "--software", "sweep", str(folder), "--unshared", "--every", "0.5"]
    # A shell that starts this in the background has it ignore interrupts.
    hear = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, preexec_fn=hear)


def until(process, come):
    """Whether it came to that before the process ended."""
    while process.poll() is None:
        if come():
            return True
        time.sleep(0.1)
    return False


def apart(base):
    folder, serial = planned(base, "unshared"), planned(base, "unshared-serial")
    problems = []
    first = begin(folder)
    if until(first, lambda: results(folder)):
        first.send_signal(signal.SIGINT)
    stopped, before = first.wait(), len(results(folder))
    if stopped != 130 or before == JOBS:
        problems.append(f"after the interrupt Ray ended with {stopped}, {before} of {JOBS} jobs done")
    second, killed = begin(folder), []
    # What is copied tells of an attempt a moment later: it may be over.
    if until(second, lambda: running(folder)):
        for pid, _ in running(folder)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
    code = second.wait()
    engine("sweep", "run", str(serial), "--all", "--software")
    done = results(folder)
    if code or len(done) < JOBS:
        problems.append(f"Ray ended with {code}, {len(done)} of {JOBS} jobs done")
    if not killed:
        problems.append("no engine was killed")
    pairs = [differing(serial / "jobs" / name / "checkpoint", folder / "jobs" / name / "checkpoint") for name in done]
    files, other = sum(count for count, _ in pairs), [name for _, some in pairs for name in some]
    # Each worker measures for itself how its device makes products, so values may differ; files may not be missing.
    told = [
        f"interrupted after {before} of {JOBS} jobs, gone on by the same command, {len(killed)} engine killed: {len(done)} done; "
        f"{files - len(other)} of {files} files of checkpoints are those of a serial run"
    ]
    return told, problems
