"""What Ray and the contract of files cost beside plain processes, in one run. Sides take turns: a busy machine slows down both alike."""
import contextlib
import io
import json
import os
import statistics
import threading
import time
from argparse import Namespace
from pathlib import Path

import ray

import ray_scale
from ray_testing import CPUS, ENGINE, ROOT, engine

ROUNDS = 2
PAIRS = 3
# QuantEase long enough that a start of the engine weighs little.
LARGE = {"iterations": 40, "samples": 32, "length": 128, "eval": 16}
SMALL = {"iterations": 2, "samples": 2, "length": 32, "eval": 1}


def planned(base, name, size, seeds):
    """A sweep of equal jobs on different draws of the text."""
    sweep = {
        "format": "quantease-sweep",
        "version": 1,
        "models": ["demo"],
        "calibration": {"samples": size["samples"], "length": size["length"], "heldOut": 0},
        "evaluation": {"samples": size["eval"], "length": size["length"]},
        "seed": seeds,
        "methods": ["quantease"],
        "options": {"bits": 4, "groupSize": 32, "iterations": size["iterations"]},
        "save": True,
    }
    (base / f"{name}.json").write_text(json.dumps(sweep))
    engine("sweep", "plan", str(base / f"{name}.json"), "--out", str(base / name))
    return base / name


def plain(base, size, seed):
    words = f"--model demo --quantization-method quantease --wbits 4 --groupsize 32 --num-iter {size['iterations']}"
    text = f"--nsamples {size['samples']} --seqlen {size['length']} --held-out 0 --eval-samples {size['eval']} --json"
    engine(*words.split(), *text.split(), "--seed", str(seed), "--save", str(base / f"plain-{size['samples']}-{seed}"))


def descendants():
    children = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rsplit(")", 1)[1].split()
            children.setdefault(int(fields[1]), []).append((int(status.parent.name), sum(map(int, fields[11:15]))))
    found, open_ends = [], [os.getpid()]
    while open_ends:
        below = children.get(open_ends.pop(), [])
        found += below
        open_ends += [pid for pid, _ in below]
    return found


def computed():
    """Seconds of CPU of all processes below this one, those that have ended included."""
    ended = os.times()
    return sum(ticks for _, ticks in descendants()) / os.sysconf("SC_CLK_TCK") + ended.children_user + ended.children_system


def measured(work):
    """Seconds of wall time and of CPU."""
    wall, cpu = time.monotonic(), computed()
    work()
    return time.monotonic() - wall, computed() - cpu


def beside(works):
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def on_ray(folder):
    args = Namespace(dir=str(folder), command=" ".join(ENGINE), software=True, cwd=str(ROOT), unshared=False, every=30, retries=0)
    args.num_cpus, args.num_gpus, args.resources = 1, 0, None
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert ray_scale.sweep(args) == 0


def throughput(base):
    """Median seconds (wall, CPU) by side and number of workers."""
    sides = {}
    for r in range(ROUNDS):
        seeds = [r * (CPUS + 1) + i for i in range(CPUS + 1)]
        many, one = planned(base, f"many-{r}", LARGE, seeds[:CPUS]), planned(base, f"one-{r}", LARGE, seeds[CPUS:])
        works = {
            ("ray", CPUS): lambda many=many: on_ray(many),
            ("plain", CPUS): lambda seeds=seeds: beside([lambda seed=seed: plain(base, LARGE, seed) for seed in seeds[:CPUS]]),
            ("ray", 1): lambda one=one: on_ray(one),
            ("plain", 1): lambda seeds=seeds: plain(base, LARGE, seeds[CPUS]),
        }
        # Whoever is first in one round is last in the next.
        for key in list(works) if r % 2 else reversed(works):
            sides.setdefault(key, []).append(measured(works[key]))
            print(f"round {r}, {key[0]} with {key[1]}: {sides[key][-1][0]:.1f} s, {sides[key][-1][1]:.1f} s of CPU", flush=True)
    return {key: tuple(sum(one[i] for one in all_of) / ROUNDS for i in (0, 1)) for key, all_of in sides.items()}


def overhead(base):
    """Median seconds (wall, CPU) that a job by the contract takes more than the same job without it."""
    folder = planned(base, "small", SMALL, list(range(PAIRS + 1)))
    more = []
    for seed in range(PAIRS + 1):
        contract = lambda seed=seed: engine("sweep", "run", str(folder), "--index", str(seed), "--software")
        alone = lambda seed=seed: plain(base, SMALL, seed)
        pair = [(work, measured(work)) for work in ((contract, alone) if seed % 2 else (alone, contract))]
        took = dict(pair)
        more.append([took[contract][i] - took[alone][i] for i in (0, 1)])
    # The first fills caches.
    return [statistics.median(one[i] for one in more[1:]) for i in (0, 1)]


def speed(base):
    wall, cpu = overhead(base)
    # Ray lets its workers give way to other programs (15 steps of niceness), which plain processes do not.
    os.environ["RAY_worker_niceness"] = "0"
    ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False)
    try:
        on_ray(planned(base, "warm", SMALL, list(range(CPUS))))
        took = throughput(base)
    finally:
        ray.shutdown()
    seconds = lambda side, n: f"{took[side, n][0]:.1f} s ({took[side, n][1]:.1f} s of CPU)"
    gain = {side: CPUS * took[side, 1][0] / took[side, CPUS][0] for side in ("ray", "plain")}
    share, work = took["plain", CPUS][0] / took["ray", CPUS][0], took["plain", CPUS][1] / took["ray", CPUS][1]
    told = [
        f"{CPUS} equal jobs at a time, mean of {ROUNDS} rounds in turn: {seconds('plain', CPUS)} as plain processes, {seconds('ray', CPUS)} on Ray that is up: efficiency {share:.2f} by the clock, {work:.2f} by CPU",
        f"one at a time: {seconds('plain', 1)} and {seconds('ray', 1)}; {CPUS} workers are {gain['ray']:.2f} times as fast as one on Ray, {gain['plain']:.2f} times as plain processes",
        f"a job by the contract takes {wall:+.2f} s, {cpu:+.2f} s of CPU, against the same job without it (median of {PAIRS} pairs in turn)",
    ]
    # By CPU: other programs take turns on the machine, too.
    problems = [*([f"efficiency {work:.2f} by CPU, below 0.9"] if work < 0.9 else []), *([f"overhead of {cpu:.2f} s of CPU"] if cpu > 1 else [])]
    return told, problems
