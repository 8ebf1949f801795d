"""What the tests of Ray share: how the engine is started, how folders are compared, and where outcomes are written down."""
import filecmp
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
