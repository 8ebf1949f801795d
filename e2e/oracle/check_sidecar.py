"""Reads folders of codes and outliers of each kind with the loader that they contain, and compares the result with the plain weights.

    pip install numpy safetensors
    python3 e2e/oracle/check_sidecar.py

The model is in float32, so plain weights are stored as the run used them, and have to be the same bit by bit.
"""
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "public/demo"
RUNS = {
    "3 bits, full row": ["rtn", "--wbits", "3"],
    "4 bits, symmetric, moving groups": ["gptq", "--wbits", "4", "--groupsize", "32", "--sym", "--act-order"],
    "1 % outliers": ["quantease", "--wbits", "3", "--num-iter", "3", "--outlier", "0.01"],
    "columns of outliers": ["quantease", "--wbits", "2", "--num-iter", "3", "--outlier", "0.05", "--structure-outlier"],
    "SpQR": ["spqr", "--wbits", "3", "--groupsize", "16"],
}


def main():
    for name, method in RUNS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            shutil.copytree(ROOT / "src/models/fixtures/llama-3.2", folder / "model", ignore=shutil.ignore_patterns("expected.*"))
            shutil.copy(DEMO / "tokenizer.json", folder / "model")
            command = ["npm", "run", "--silent", "quantize", "--", "--model", folder / "model", "--dataset", DEMO / "calibration.txt", "--eval",
                       DEMO / "evaluation.txt", "--nsamples", "2", "--seqlen", "64", "--eval-samples", "1", "--save", folder / "out", "--json",
                       "--format", "sidecar,dense", "--quantization-method", *method]
            done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            loader = runpy.run_path(str(folder / "out/sidecar/loader.py"))
            found, plain = loader["load"](folder / "out/sidecar"), load_file(folder / "out/dense/model.safetensors")
            assert found.keys() == plain.keys(), found.keys() ^ plain.keys()
            for tensor, values in plain.items():
                np.testing.assert_array_equal(found[tensor], values, tensor)
            linears = len(list((folder / "out/sidecar/quantized").iterdir()))
            bytes_of = sum(path.stat().st_size for path in (folder / "out/sidecar/quantized").iterdir())
            print(f"{name:34} {linears} linears, {bytes_of} bytes, the same weights", flush=True)


if __name__ == "__main__":
    main()
