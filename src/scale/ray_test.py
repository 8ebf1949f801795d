"""What is promised of Ray, tried out: many small jobs, workers that are killed, and checkpoints equal to those of a serial run.

    npm run scale:test -- [--jobs 100] [--kills 20] [--seed 1] [--keep DIR] [--speed]
"""
import argparse
import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ["node", str(ROOT / "dist-cli" / "cli" / "cli.js")]
STORIES = ROOT.parent / "shared" / "models" / "stories260K-hf"
RAY = [sys.executable, str(Path(__file__).with_name("ray_scale.py")), "--command", " ".join(ENGINE), "--cwd", str(ROOT), "--cpus", "2"]


def engine(*words, check=True):
    return subprocess.run([*ENGINE, *words], cwd=ROOT, check=check, stdout=subprocess.DEVNULL)


def sweep_of(count):
    """Settings by model, bits, method and seed: ten for each seed and model."""
    text = {"text": str(ROOT / "public" / "demo" / "calibration.txt"), "samples": 2, "length": 32, "heldOut": 0}
    models = ["demo", *([str(STORIES)] if STORIES.exists() else [])]
    few = {"method": "quantease", "options": {"iterations": 2}}
    return {
        "format": "quantease-sweep",
        "version": 1,
        "models": models,
        "calibration": text,
        "evaluation": {"text": str(ROOT / "public" / "demo" / "evaluation.txt"), "samples": 1, "length": 32},
        "seed": list(range(-(-count // (10 * len(models))))),
        "methods": ["rtn", "gptq", few, {**few, "options": {"iterations": 2, "outlier": 0.01}}, {**few, "options": {"iterations": 3}}],
        "options": {"bits": [3, 4], "groupSize": 32, "blocks": 1},
        "save": True,
    }


def events_of(job):
    lines = (job / "events.jsonl").read_text(errors="replace").splitlines()
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue  # half a line of a killed worker


def running(folder):
    """Process ids of engines at work, by the last attempt that each job tells of."""
    found = []
    for job in sorted((folder / "jobs").iterdir()):
        if not (job / "events.jsonl").exists() or (job / "result.json").exists():
            continue
        last = None
        for event in events_of(job):
            last = event["pid"] if event["type"] == "attempt" else None if event["type"] == "exit" else last
        if last and b"sweep" in cmdline(last):
            found.append(last)
    return found


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


class Killer(threading.Thread):
    """Kills engines, every fifth time the Ray worker above one, at seeded moments of the run."""

    def __init__(self, folder, count, kills, seed):
        super().__init__(daemon=True)
        self.folder, self.kills, self.killed = folder, kills, []
        chance = random.Random(seed)
        # Each at so many results, and so many seconds later.
        self.moments = sorted((chance.uniform(0, count * 0.9), chance.uniform(0, 4)) for _ in range(kills))
        self.chance = chance
        self.over = threading.Event()

    def run(self):
        for index, (results, pause) in enumerate(self.moments):
            while not self.over.is_set() and len(list(self.folder.glob("jobs/*/result.json"))) < int(results):
                time.sleep(0.2)
            self.over.wait(pause)
            while not self.over.is_set():
                pids = running(self.folder)
                if pids:
                    break
                time.sleep(0.2)
            if self.over.is_set():
                return
            pid = self.chance.choice(pids)
            victim = parent(pid) if index % 5 == 4 and b"ray::" in cmdline(parent(pid)) else pid
            os.kill(victim, signal.SIGKILL)
            self.killed.append((victim, "engine" if victim == pid else "Ray worker"))


def differing(a, b):
    """Paths of checkpoints' files that are not the same, byte for byte."""
    found = []
    for job in sorted((a / "jobs").iterdir()):
        here, there = job / "checkpoint", b / "jobs" / job.name / "checkpoint"
        names = {path.relative_to(root) for root in (here, there) for path in root.rglob("*") if path.is_file()}
        found += [f"{job.name}/{name}" for name in sorted(names) if not same(here / name, there / name)]
    return found


def same(a, b):
    return a.exists() and b.exists() and filecmp.cmp(a, b, shallow=False)


def twice(folder):
    """Linears solved again after they were told solved, and solves that a killed worker lost."""
    again, lost = [], 0
    for job in sorted((folder / "jobs").iterdir()):
        begun, told = {}, set()
        for event in events_of(job):
            if event["type"] == "stage" and event["stage"] == "solve":
                name = event["linear"]
                begun[name] = begun.get(name, 0) + 1
                if name in told:
                    again.append(f"{job.name} {name}")
            if event["type"] == "layer":
                told.add(event["layer"]["name"])
        lost += sum(count - 1 for count in begun.values())
    return again, lost


def speed(base):
    """Ray with two workers against two plain processes, and one job of the contract against one without it."""
    count, workers = 6, 2
    sweep = {
        "format": "quantease-sweep",
        "version": 1,
        "models": ["demo"],
        "calibration": {"samples": 32, "length": 128, "heldOut": 0},
        "evaluation": {"samples": 16, "length": 128},
        "seed": list(range(count + 1)),
        "methods": ["quantease"],
        "options": {"bits": 4, "groupSize": 32, "iterations": 40},
        "save": True,
    }
    (base / "speed.json").write_text(json.dumps(sweep))
    engine("sweep", "plan", str(base / "speed.json"), "--out", str(base / "speed"))
    common = "--model demo --quantization-method quantease --wbits 4 --groupsize 32 --num-iter 40 --nsamples 32 --seqlen 128"
    common = f"{common} --held-out 0 --eval-samples 16 --json".split()
    plain = lambda seed: engine(*common, "--seed", str(seed), "--save", str(base / f"plain-{seed}"))
    contract = lambda seed: engine("sweep", "run", str(base / "speed"), "--index", str(seed), "--software")
    # In turn, and what they compute alone: a busy machine makes waits of any length.
    one, other = cpu(lambda: plain(count)), cpu(lambda: contract(count))
    print(f"one job: {one:.2f} CPU s plain, {other:.2f} by the contract: {other - one:+.2f} s", flush=True)
    began = time.monotonic()
    lanes = [threading.Thread(target=lambda lane: [plain(seed) for seed in range(lane, count, workers)], args=(lane,)) for lane in range(workers)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    alone = time.monotonic() - began
    began = time.monotonic()
    subprocess.run([*RAY, "sweep", str(base / "speed")], stdout=subprocess.DEVNULL, check=True)
    ray = time.monotonic() - began
    print(f"{count} jobs, {workers} at a time: {alone:.0f} s as plain processes, {ray:.0f} s on Ray, its own start included: {alone / ray:.2f}")


def cpu(work):
    """Seconds that the processes started by `work` have computed."""
    before = os.times()
    work()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a folder to work in and to leave; what is done there is not done again")
    parser.add_argument("--speed", action="store_true", help="only compare with plain processes")
    args = parser.parse_args()
    base = Path(args.keep or tempfile.mkdtemp(prefix="quantease-scale-"))
    base.mkdir(parents=True, exist_ok=True)
    try:
        if args.speed:
            speed(base)
        else:
            sys.exit(trial(args, base))
    finally:
        if not args.keep:
            shutil.rmtree(base, ignore_errors=True)


def trial(args, base):
    (base / "sweep.json").write_text(json.dumps(sweep_of(args.jobs)))
    for name in ("serial", "ray"):
        engine("sweep", "plan", str(base / "sweep.json"), "--out", str(base / name))
    count = len(json.loads((base / "ray" / "plan.json").read_text())["jobs"])
    print(f"{count} jobs, {args.kills} kills, seed {args.seed}", flush=True)
    began = time.monotonic()
    killer = Killer(base / "ray", count, args.kills, args.seed)
    killer.start()
    code = subprocess.run([*RAY, "--retries", "20", "sweep", str(base / "ray")], stdout=subprocess.DEVNULL).returncode
    killer.over.set()
    killer.join()
    print(f"Ray: exit {code} after {time.monotonic() - began:.0f} s; killed {len(killer.killed)}: {killer.killed}", flush=True)
    began = time.monotonic()
    engine("sweep", "run", str(base / "serial"), "--all", "--software")
    print(f"Serial: {time.monotonic() - began:.0f} s", flush=True)
    return judge(args, base, count, code, killer)


def judge(args, base, count, code, killer):
    done = len(list((base / "ray").glob("jobs/*/result.json")))
    other = differing(base / "serial", base / "ray")
    again, lost = twice(base / "ray")
    print(f"{done} of {count} jobs done; {len(other)} files of checkpoints differ; {len(again)} solved linears solved again;")
    print(f"{lost} begun solves were lost with the workers that were killed")
    problems = [
        *([f"Ray ended with {code}"] if code else []),
        *([f"only {done} of {count} jobs are done"] if done < count else []),
        *([f"only {len(killer.killed)} of {args.kills} were killed"] if len(killer.killed) < args.kills else []),
        *[f"differs: {name}" for name in other[:10]],
        *[f"solved again: {name}" for name in again[:10]],
    ]
    for problem in problems:
        print(f"FAILED: {problem} (seed {args.seed})")
    print("passed" if not problems else "failed")
    return 1 if problems else 0


if __name__ == "__main__":
    main()
