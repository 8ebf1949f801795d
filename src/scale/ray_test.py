"""What is promised of Ray, tried out: many small jobs, workers that are killed, and checkpoints equal to those of a serial run.

    npm run scale:test -- [--jobs 100] [--kills 20] [--seed 1] [--keep DIR] [--only models|unshared|jobs|speed] [--record]
"""
import argparse
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

from ray_apart import apart
from ray_big import big
from ray_speed import speed
from ray_testing import RAY, STORIES, TEXTS, cmdline, differing, engine, events_of, record, running


def sweep_of(count):
    """Settings by model, bits, method and seed: ten for each seed and model."""
    text = {"text": str(TEXTS / "calibration.txt"), "samples": 2, "length": 32, "heldOut": 0}
    # Without the second model, the demo in a second depth.
    models, depths = (["demo", str(STORIES)], 2) if STORIES.exists() else (["demo"], [1, 2])
    method = lambda **options: {"method": "quantease", "options": options}
    return {
        "format": "quantease-sweep",
        "version": 1,
        "models": models,
        "calibration": text,
        "evaluation": {"text": str(TEXTS / "evaluation.txt"), "samples": 1, "length": 32},
        "seed": list(range(-(-count // 20))),
        "methods": ["rtn", "gptq", method(iterations=8), method(iterations=8, outlier=0.01), method(iterations=12)],
        "options": {"bits": [3, 4], "groupSize": 32, "blocks": depths},
        "save": True,
    }


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


class Killer(threading.Thread):
    """Kills engines, every fifth time the Ray worker above one, at seeded moments of the run, every other time amid solving."""

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
            pid = self.victim(amid=index % 2 == 1)
            if pid is None:
                return
            above = parent(pid) if index % 5 == 4 else pid
            victim = above if b"ray::" in cmdline(above) else pid
            os.kill(victim, signal.SIGKILL)
            self.killed.append((victim, "engine" if victim == pid else "Ray worker"))

    def victim(self, amid):
        """An engine at work, `amid`: that has begun to solve; None when there is nothing left to kill."""
        while not self.over.is_set():
            pids = [pid for pid, solving in running(self.folder) if solving or not amid]
            if pids:
                return self.chance.choice(pids)
            time.sleep(0.05)
        return None


def twice(folder):
    """Linears solved again after they were told solved; how many solves a killed worker lost, at most and in all; solves that were begun."""
    again, lost, all_begun = [], [], 0
    for job in sorted((folder / "jobs").iterdir()):
        begun, told = [], set()
        for event in events_of(job):
            if event["type"] == "stage" and event["stage"] == "solve":
                begun.append(event["linear"])
                all_begun += 1
                if event["linear"] in told:
                    again.append(f"{job.name} {event['linear']}")
            if event["type"] == "layer":
                told.add(event["layer"]["name"])
                begun = [name for name in begun if name != event["layer"]["name"]]
            if event["type"] == "attempt":
                lost.append(len(begun))
                begun = []
    return again, lost, all_begun


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a folder to work in and to leave; what is done there is not done again")
    parser.add_argument("--only", choices=["models", "unshared", "jobs", "speed"], help="one part of it")
    parser.add_argument("--record", action="store_true", help="write the outcome into README.md")
    args = parser.parse_args()
    base = Path(args.keep or tempfile.mkdtemp(prefix="quantease-scale-"))
    base.mkdir(parents=True, exist_ok=True)
    parts = {"models": lambda: big(base), "unshared": lambda: apart(base), "jobs": lambda: trial(args, base), "speed": lambda: speed(base)}
    failed = False
    try:
        for name in [args.only] if args.only else parts:
            told, problems = parts[name]()
            failed = failed or bool(problems)
            for line in [*told, *(f"FAILED: {problem} (seed {args.seed})" for problem in problems)]:
                print(line, flush=True)
            if args.record and not problems:
                record(f"scale test: {name}", "\n".join(f"- {line}." for line in told))
    finally:
        if not args.keep:
            shutil.rmtree(base, ignore_errors=True)
    print("failed" if failed else "passed")
    sys.exit(failed)


def trial(args, base):
    (base / "sweep.json").write_text(json.dumps(sweep_of(args.jobs)))
    for name in ("serial", "ray"):
        engine("sweep", "plan", str(base / "sweep.json"), "--out", str(base / name))
    jobs = json.loads((base / "ray" / "plan.json").read_text())["jobs"]
    print(f"{len(jobs)} jobs, {args.kills} kills, seed {args.seed}", flush=True)
    began = time.monotonic()
    killer = Killer(base / "ray", len(jobs), args.kills, args.seed)
    killer.start()
    code = subprocess.run([*RAY, "--software", "--retries", "20", "sweep", str(base / "ray")], stdout=subprocess.DEVNULL).returncode
    killer.over.set()
    killer.join()
    middle = time.monotonic()
    print(f"Ray: exit {code} after {middle - began:.0f} s; killed {len(killer.killed)}: {killer.killed}", flush=True)
    engine("sweep", "run", str(base / "serial"), "--all", "--software")
    return judge(args, base, jobs, code, killer, (middle - began, time.monotonic() - middle))


def judge(args, base, jobs, code, killer, seconds):
    done = [path.parent.name for path in (base / "ray").glob("jobs/*/result.json")]
    again, lost, begun = twice(base / "ray")
    files, other = 0, []
    for name in done:
        count, some = differing(*(base / side / "jobs" / name / "checkpoint" for side in ("serial", "ray")))
        files += count
        other += [f"{name}/{path}" for path in some]
    models = " and ".join(f"{sum(job['model'] == model for job in jobs)} of {Path(model).name}" for model in sorted({job["model"] for job in jobs}))
    engines = sum(kind == "engine" for _, kind in killer.killed)
    told = [
        f"{len(done)} of {len(jobs)} jobs done ({models}) on Ray with 2 CPUs, seed {args.seed}; {seconds[0]:.0f} s, and {seconds[1]:.0f} s for the serial run on the same machine",
        f"{len(killer.killed)} workers killed by SIGKILL: {engines} engines, {len(killer.killed) - engines} Ray workers with the engine below them",
        f"{files} files of checkpoints, of which {len(other)} differ from those of the serial run",
        f"{begun} solves begun, {len(again)} of them of a linear that was solved; {sum(lost)} were lost with a worker, at most {max(lost, default=0)} with one",
    ]
    problems = [
        *([f"Ray ended with {code}"] if code else []),
        *([f"only {len(done)} of {len(jobs)} jobs are done"] if len(done) < len(jobs) else []),
        *([f"only {len(killer.killed)} of {args.kills} were killed"] if len(killer.killed) < args.kills else []),
        *(["no file was compared"] if not files else []),
        *[f"differs: {name}" for name in other[:10]],
        *[f"solved again: {name}" for name in again[:10]],
    ]
    return told, problems


if __name__ == "__main__":
    main()
