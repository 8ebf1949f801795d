"""One model on Ray, with its linears in parallel, against a single run: from full-precision inputs, and true-sequential."""
import json
import subprocess

from ray_testing import ENGINE, RAY, ROOT, TEXTS, differing

BLOCKS = 2
TEXT = {"samples": 4, "length": 32, "heldOut": 0}
METHOD = ["--quantization-method", "quantease", "--wbits", "3", "--groupsize", "32", "--num-iter", "3", "--num-layers-to-quantize", str(BLOCKS)]
TO_READ = ["--dataset", str(TEXTS / "calibration.txt"), "--nsamples", "4", "--seqlen", "32", "--held-out", "0"]
TO_MEASURE = ["--eval", str(TEXTS / "evaluation.txt"), "--eval-samples", "1", "--eval-seqlen", "32"]

# The report spells out defaults where options came from a sweep, and the list of files has its digest.
TOLD = ("quantization_report.json", ".quantease-workbench.json")


def plan_of(option):
    return {
        "format": "quantease-sweep",
        "version": 1,
        "models": ["demo"],
        "calibration": {"text": str(TEXTS / "calibration.txt"), **TEXT},
        "evaluation": {"text": str(TEXTS / "evaluation.txt"), "samples": 1, "length": 32},
        "methods": ["quantease"],
        "options": {"bits": 3, "groupSize": 32, "iterations": 3, "blocks": BLOCKS, option: True},
        "save": True,
    }


def single(base, option, device):
    """The checkpoint of one run by one process, which makes products in the way that the store tells."""
    file, folder = base / f"{option}.json", base / f"{option}-single"
    file.write_text(json.dumps(plan_of(option)))
    subprocess.run([*ENGINE, "sweep", "plan", str(file), "--out", str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    agreed = folder / "devices" / f"{device['sha256'][:16]}.json"
    agreed.parent.mkdir(exist_ok=True)
    agreed.write_text(json.dumps({name: device[name] for name in ("gemmKernel", "sweepPanel")}))
    subprocess.run([*ENGINE, "sweep", "run", str(folder), "--index", "0", "--software"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    [checkpoint] = folder.glob("jobs/*/checkpoint")
    return checkpoint


def big(base):
    """Returns a sentence for each way, and what is wrong."""
    told, problems = [], []
    for inputs, option in (("full-precision", "fullInputs"), ("true-sequential", "trueSequential")):
        store, made = base / f"{option}-store", base / f"{option}-ray"
        texts = ["--texts", " ".join(TO_READ + (TO_MEASURE if option == "trueSequential" else [])), "--measure", " ".join(TO_MEASURE)]
        words = ["model", "--gram", str(store), "--model", "demo", "--save", str(made), "--inputs", inputs, *texts, "--", *METHOD]
        code = subprocess.run([*RAY, "--software", *words], stdout=subprocess.DEVNULL).returncode
        if code:
            problems.append(f"{inputs}: Ray ended with {code}")
            continue
        meta = json.loads((store / "gram.safetensors.index.json").read_text())["metadata"]
        solved = len(list(store.glob("solved/*/model.*.qej")))
        count, other = differing(made, single(base, option, meta["device"]))
        other = [name for name in other if name not in TOLD]
        problems += [f"{inputs}: {name} differs" for name in other]
        told.append(f"{inputs} inputs: {solved} linears solved as tasks, {len(meta['stages'])} stages; {count - len(TOLD)} files of the checkpoint compared, {len(other)} differ")
    return told, problems
