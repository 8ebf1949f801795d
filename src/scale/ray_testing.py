"""What the tests of Ray share: the engine, what its events tell, how folders are compared, and where outcomes are written down."""
import filecmp
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ["node", str(ROOT / "dist-cli" / "cli" / "cli.js")]
STORIES = ROOT.parent / "shared" / "models" / "stories260K-hf"
TEXTS = ROOT / "public" / "demo"
CPUS = 2
RAY = [sys.executable, str(Path(__file__).with_name("ray_scale.py")), "--command", " ".join(ENGINE), "--cwd", str(ROOT), "--cpus", str(CPUS)]


def engine(*words):
    return subprocess.run([*ENGINE, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def events_of(job):
    lines = (job / "events.jsonl").read_text(errors="replace").splitlines()
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue  # half a line of a killed worker


def running(folder):
    """Process ids of engines at work, by the last attempt that each job tells of; and whether it has begun to solve."""
    found = []
    for job in sorted((folder / "jobs").iterdir()):
        if not (job / "events.jsonl").exists() or (job / "result.json").exists():
            continue
        last, solving = None, False
        for event in events_of(job):
            if event["type"] in ("attempt", "exit"):
                last, solving = event.get("pid"), False
            solving = solving or (event["type"] == "stage" and event["stage"] == "solve")
        if last and b"sweep" in cmdline(last):
            found.append((last, solving))
    return found


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def differing(here, there):
    """How many files two checkpoints have, and those that are not the same, byte for byte."""
    names = sorted({path.relative_to(root) for root in (here, there) for path in root.rglob("*") if path.is_file()})
    return len(names), [str(name) for name in names if not same(here / name, there / name)]


def same(a, b):
    return a.exists() and b.exists() and filecmp.cmp(a, b, shallow=False)


def record(name, text):
    """Writes what a test came to into the document beside it, between its marks."""
    path = Path(__file__).with_name("README.md")
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    before, rest = path.read_text().split(begin)
    path.write_text(before + begin + text + end + rest.split(end, 1)[1])
    print(f"{path}: \"{name}\" is made anew.", flush=True)
