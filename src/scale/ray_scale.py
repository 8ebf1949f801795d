"""Runs sweeps and big models on Ray: one task a job, by the contract of files and exit codes (README.md in this folder).

    python src/scale/ray_scale.py sweep DIR
    python src/scale/ray_scale.py model --gram STORE --model MODEL --save DIR -- --quantization-method quantease --wbits 3

Ray only starts processes and carries files; what they compute, and what survives, is the engine's own matter.
"""
import argparse
import ctypes
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import ray
from ray.exceptions import RayError, TaskCancelledError

RETRY = 75
ROOT = Path(__file__).resolve().parents[2]
# What another attempt needs of a job's folder; a half-written checkpoint is written again.
KEPT = ("job.json", "events.jsonl", "failure.json", "checkpoint.journal")


# ---------------------------------------------------------------- on a worker


def die_with_parent():
    """An engine without its Ray worker would compute for nobody."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def meaning(code):
    """Killed by a signal, as an exit code of Python's or of a shell's kind: as worth another attempt as a lost device."""
    return RETRY if code < 0 or code > 128 else code


def run(command, cwd):
    """Runs a command to its end, or until the task is cancelled. Returns exit code and the end of what it said."""
    with tempfile.TemporaryFile() as said:
        linux = sys.platform == "linux"
        process = subprocess.Popen(
            command, cwd=cwd, stdout=said, stderr=subprocess.STDOUT, preexec_fn=die_with_parent if linux else None
        )
        try:
            code = process.wait()
        except BaseException:
            # The first signal lets it keep what it has.
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
        said.seek(max(0, said.tell() - 20_000))
        return meaning(code), said.read().decode(errors="replace")


def pack(folder, names=None):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(Path(folder).iterdir()):
            if names is None or path.name in names:
                tar.add(path, path.name)
    return buffer.getvalue()


def unpack(data, folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")


@ray.remote(max_retries=0)
def shared_job(command, job, cwd):
    code, said = run([*command, "--job", job], cwd)
    return code, said, None


@ray.remote(max_retries=0, num_returns="streaming")
def carried_job(command, files, cwd, every):
    """For folders that workers do not share: yields what the job's folder holds now and then, and at the end."""
    with tempfile.TemporaryDirectory(prefix="quantease-job-") as folder:
        unpack(files, folder)
        output = Path(folder) / ".output"
        with output.open("wb") as said:
            linux = sys.platform == "linux"
            process = subprocess.Popen(
                [*command, "--job", str(Path(folder) / "job.json")],
                cwd=cwd,
                stdout=said,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent if linux else None,
            )
            try:
                while True:
                    try:
                        code = process.wait(every)
                        break
                    except subprocess.TimeoutExpired:
                        yield None, "", pack(folder, KEPT)
            except BaseException:
                process.terminate()
                raise
        text = output.read_bytes()[-20_000:].decode(errors="replace")
        output.unlink()
        yield meaning(code), text, pack(folder)


# ---------------------------------------------------------------- on the driver


class Board:
    """Says on stderr how far things are, and on stdout what each job came to."""

    def __init__(self, total, args, before=0):
        """`before`: done earlier."""
        self.total, self.before, self.done, self.failed, self.open = total, before, before, 0, 0
        # What a task takes, by which those at work are told from those that wait for it.
        self.resource, self.each = ("CPU", args.num_cpus) if args.num_cpus else ("GPU", args.num_gpus)
        self.started = time.monotonic()

    def running(self):
        if not self.each:
            return self.open
        taken = ray.cluster_resources().get(self.resource, 0) - ray.available_resources().get(self.resource, 0)
        return min(self.open, round(taken / self.each))

    def show(self):
        running = self.running()
        over = self.done + self.failed
        spent = time.monotonic() - self.started
        here = over - self.before
        left = f"{spent / here * (self.total - over):.0f} s left" if here else "time left unknown"
        told = f"{self.done} done, {running} running, {self.open - running} waiting, {self.failed} failed of {self.total}; {left}"
        print(told, file=sys.stderr, flush=True)


class Tasks:
    """Tasks by what they are for, tried again where their exit code says that this may help."""

    def __init__(self, submit, retries, board):
        self.submit, self.retries, self.board = submit, retries, board
        self.refs, self.attempts = {}, {}

    def start(self, key):
        self.attempts[key] = self.attempts.get(key, 0) + 1
        self.refs[self.submit(key)] = key
        self.board.open = len(self.refs)

    def cancel(self):
        for ref in self.refs:
            ray.cancel(ref, force=False)

    def run(self, keep):
        """Until all are over. `keep` takes (key, code, text, files, attempts); code None: it goes on."""
        while self.refs:
            ready, _ = ray.wait(list(self.refs), num_returns=1, timeout=10)
            if not ready:
                self.board.show()
            for ref in ready:
                key = self.refs.pop(ref)
                code, said, files, generator = self.outcome(ref)
                if code is None:
                    keep(key, None, said, files, self.attempts[key])
                    self.refs[generator] = key
                    continue
                if code == RETRY and self.attempts[key] <= self.retries:
                    keep(key, None, said, files, self.attempts[key])
                    self.start(key)
                    continue
                self.board.done += code == 0
                self.board.failed += code != 0
                self.board.open = len(self.refs)
                keep(key, code, said, files, self.attempts[key])
                self.board.show()

    @staticmethod
    def outcome(ref):
        """Of a task, or of the next that a streaming one yields."""
        try:
            if isinstance(ref, ray.ObjectRefGenerator):
                return (*ray.get(next(ref)), ref)
            return (*ray.get(ref), None)
        except TaskCancelledError:
            raise
        except StopIteration:
            return RETRY, "The worker ended without a result.", None, None
        except RayError as error:
            # The worker, its node or its object store died: the job did not.
            return RETRY, str(error), None, None


def options_of(args):
    options = {"num_cpus": args.num_cpus, "num_gpus": args.num_gpus}
    if args.resources:
        options["resources"] = json.loads(args.resources)
    return options


def command_of(args, *words):
    return [*shlex.split(args.command), *words, *(["--software"] if args.software else [])]


def sweep(args):
    folder = Path(args.dir).resolve()
    jobs = json.loads((folder / "plan.json").read_text())["jobs"]
    by_id = {job["id"]: (index, job) for index, job in enumerate(jobs)}
    place = lambda key: folder / "jobs" / key
    open_jobs = [key for key in by_id if not (place(key) / "result.json").exists()]
    command = command_of(args, "sweep", "run")
    options = options_of(args)

    def submit(key):
        if args.unshared:
            return carried_job.options(**options).remote(command, pack(place(key), KEPT), args.cwd, args.every)
        return shared_job.options(**options).remote(command, str(place(key) / "job.json"), args.cwd)

    def keep(key, code, said, files, attempts):
        if files:
            unpack(files, place(key))
        if files and code == 0:
            shutil.rmtree(place(key) / "checkpoint.journal", ignore_errors=True)
        if code is None:
            return
        index, job = by_id[key]
        line = {"index": index, "id": key, "label": job["label"], "code": code, "attempts": attempts}
        if code:
            line["error"] = said.strip().splitlines()[-2:]
        else:
            line |= figures(place(key) / "result.json")
        print(json.dumps(line), flush=True)

    board = Board(len(by_id), args, len(by_id) - len(open_jobs))
    return drive(Tasks(submit, args.retries, board), open_jobs, keep)


def figures(path):
    run, *_ = json.loads(path.read_text())["report"]["runs"]
    return {name: run.get(name) for name in ("bitsPerWeight", "perplexity", "kl", "meanRelativeError")}


def drive(tasks, keys, keep):
    """Runs tasks, and cancels them when this program is interrupted. Returns the exit code."""
    try:
        for key in keys:
            tasks.start(key)
        tasks.board.show()
        tasks.run(keep)
    except (KeyboardInterrupt, TaskCancelledError):
        print("Cancelled: what is solved is kept, and the same command goes on.", file=sys.stderr)
        tasks.cancel()
        time.sleep(2)
        return 130
    return 1 if tasks.board.failed else 0


# ---------------------------------------------------------------- one big model


@ray.remote(max_retries=0)
def step(command, cwd):
    return (*run(command, cwd), None)


def linears_of(store, block=None):
    """Linears of a store, stage by stage, as its index has them."""
    index = json.loads((Path(store) / "gram.safetensors.index.json").read_text())
    return [name for stage in index["metadata"]["stages"] for name in stage["linears"] if block is None or stage["block"] == block]


def follow(args, calibration, wanted):
    """Runs a calibration beside the driver and calls `wanted` with the linears that it waits for. Returns its exit code."""
    process = subprocess.Popen(calibration, cwd=args.cwd, stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            event = json.loads(line)
            if event["type"] == "wanted":
                wanted(event["linears"])
        return process.wait()
    except BaseException:
        process.terminate()
        raise


def model(args):
    common = ["--model", args.model]
    sequential = args.inputs == "true-sequential"
    if not args.unmeasured and not args.save:
        raise SystemExit("model needs --save DIR, or --unmeasured.")
    texts = shlex.split(args.texts)
    method = args.method[1:] if args.method[:1] == ["--"] else args.method
    solve = lambda name: command_of(args, "solve", "--gram", args.gram, *common, "--linears", name, *method)
    options = options_of(args)

    def solve_all(names):
        board = Board(len(names), args)
        submit = lambda name: step.options(**options).remote(solve(name), args.cwd)
        code = drive(Tasks(submit, args.retries, board), names, complain)
        if code:
            raise SystemExit(code)

    calibration = command_of(args, "calibrate", "--save-gram", args.gram, *common, *texts)
    if sequential:
        # The pass runs here; the linears of each stage are solved on the cluster while it waits.
        code = follow(args, [*calibration, *method, "--true-sequential", "--solve-elsewhere"], solve_all)
    else:
        code, said, _ = ray.get(step.options(**options).remote(calibration, args.cwd))
        complain("calibrate", code, said, None, 1)
        if code == 0:
            solve_all(linears_of(args.gram))
    if code or args.unmeasured:
        return code
    assembly = command_of(args, "assemble", "--gram", args.gram, *common, "--save", args.save, *method, *shlex.split(args.measure))
    code, said, _ = ray.get(step.options(**options).remote(assembly, args.cwd))
    complain("assemble", code, said, None, 1)
    return code


def complain(key, code, said, _files, _attempts):
    if code:
        print(f"{key}: exit {code}\n{said.strip()[-2000:]}", file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="a Ray cluster; without it Ray starts on this machine")
    parser.add_argument("--num-cpus", type=float, default=1, help="CPUs of a task")
    parser.add_argument("--num-gpus", type=float, default=0, help="GPUs of a task, also a fraction")
    parser.add_argument("--resources", help='custom resources of a task as JSON, e.g. \'{"vulkan": 1}\'')
    parser.add_argument("--cpus", type=int, help="without --address: CPUs that Ray may use on this machine")
    parser.add_argument("--retries", type=int, default=3, help="further attempts after exit 75 or a worker that died")
    parser.add_argument("--command", default="node src/setup.mjs quantize", help="how a worker starts the engine, in --cwd")
    parser.add_argument("--cwd", default=str(ROOT), help="the checkout on every worker")
    parser.add_argument("--software", action="store_true", help="workers may compute without a GPU")
    words = parser.add_subparsers(required=True)
    one = words.add_parser("sweep", help="all jobs of a sweep that are not done")
    one.add_argument("dir")
    one.add_argument("--unshared", action="store_true", help="workers do not see DIR: journals and results travel as objects")
    one.add_argument("--every", type=float, default=30, help="with --unshared: seconds between two copies of a journal")
    one.set_defaults(work=sweep)
    big = words.add_parser("model", help="one model, its linears in parallel; all workers see STORE")
    big.add_argument("--gram", required=True)
    big.add_argument("--model", required=True)
    big.add_argument("--save")
    big.add_argument("--inputs", choices=["full-precision", "true-sequential"], default="full-precision")
    big.add_argument("--texts", default="", help="arguments of the calibration text, in one string")
    big.add_argument("--measure", default="", help="arguments of the evaluation and formats, in one string")
    big.add_argument("--unmeasured", action="store_true", help="solve only")
    big.add_argument("method", nargs=argparse.REMAINDER, help="after --: the method and its options")
    big.set_defaults(work=model)
    return parser.parse_args()


def main():
    args = arguments()
    # A pool of our own reads nothing of this folder.
    ray.init(address=args.address, num_cpus=None if args.address else args.cpus, include_dashboard=False, log_to_driver=False)
    try:
        return args.work(args)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
