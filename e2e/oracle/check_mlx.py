"""Quantizes a random model of every family that mlx-lm supports by the command line, as an MLX folder, and measures it with mlx-lm.

    pip install 'mlx[cpu]==0.32.4' mlx-lm==0.32.2
    python3 e2e/oracle/check_mlx.py [VARIANT ...]

The configs are those of src/models/fixtures, with rows that groups of 32 divide; the tensors have the names and shapes of mlx-lm's
own classes. For each variant, width, group and kind of grid: mlx-lm's perplexity over the workbench's own figure, minus 1.
"""
import json
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes, load_model
from tokenizers import Tokenizer

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "public/demo"
LENGTH, WINDOWS = 64, 8
VARIANTS = ["demo", "llama-2", "llama-3.2", "llama-biased-f16", "tinyllama-bf16", "smollm2-sharded", "mistral", "qwen2", "qwen2-window", "qwen3",
            "gemma-2", "gemma-3"]
RUNS = {"2 bits": ["--wbits", "2", "--groupsize", "32"], "3 bits, row": ["--wbits", "3"], "4 bits": ["--wbits", "4", "--groupsize", "32"],
        "4 bits, symmetric, row": ["--wbits", "4", "--sym"], "8 bits": ["--wbits", "8", "--groupsize", "32"],
        "ends of Q4_1": ["--wbits", "4", "--groupsize", "32", "--embedding-type", "q4_1", "--head-type", "q4_1"],
        "ends of Q8_0 and Q5_0": ["--type", "q4_0", "--embedding-type", "q8_0", "--head-type", "q5_0"]}


def quantize(model, out, method):
    command = ["npm", "run", "--silent", "quantize", "--", "--model", model, "--dataset", DEMO / "calibration.txt", "--eval",
               DEMO / "evaluation.txt", "--nsamples", "2", "--seqlen", str(LENGTH), "--eval-samples", str(WINDOWS), "--save", out, "--json",
               "--quantization-method", "rtn", "--format", "mlx", *method]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def perplexity(model, ids):
    logits = model(ids)[:, :-1].astype(mx.float32)
    picked = mx.take_along_axis(logits, ids[:, 1:, None], -1)[..., 0]
    return math.exp((mx.logsumexp(logits, -1) - picked).mean().item())


def random_model(name, folder):
    """A folder with random weights, in the dtype that its config declares."""
    folder.mkdir()
    config = json.loads((ROOT / "src/models/fixtures" / name / "config.json").read_text())
    config |= {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "head_dim": 16}
    config["num_key_value_heads"] = 2
    if config.get("sliding_window"):
        config["sliding_window"] = LENGTH if name != "gemma-3" else 8
    (folder / "config.json").write_text(json.dumps(config))
    model_class, args = _get_classes(config | {"rope_theta": 1e4})
    model = model_class(args.from_dict(config | {"rope_theta": 1e4}))
    dtype = getattr(mx, config.get("dtype", config.get("torch_dtype", "float32")))
    mx.random.seed(3)
    tensors = {key: (mx.random.normal(value.shape) * (0.2 if value.ndim > 1 else 0.1) + (value.ndim == 1 and "bias" not in key)).astype(dtype)
               for key, value in tree_flatten(model.parameters())}
    mx.save_safetensors(str(folder / "model.safetensors"), tensors, {"format": "pt"})


def check(name, folder):
    source = folder / "model"
    if name == "demo":
        shutil.copytree(DEMO, source, ignore=shutil.ignore_patterns("*.txt"))
    else:
        random_model(name, source)
    shutil.copy(DEMO / "tokenizer.json", source)
    tokens = Tokenizer.from_file(str(source / "tokenizer.json")).encode((DEMO / "evaluation.txt").read_text()).ids
    ids = mx.array(tokens[: WINDOWS * LENGTH]).reshape(WINDOWS, LENGTH)
    tied = json.loads((source / "config.json").read_text()).get("tie_word_embeddings", name.startswith("gemma"))
    for run, method in RUNS.items():
        if tied and "--head-type" in method:
            method = method[: method.index("--head-type")]
        ours = quantize(source, folder / run, method)
        model, _ = load_model(folder / run)
        far = perplexity(model, ids) / ours["perplexity"] - 1
        dtype = str(model(ids[:1]).dtype).split(".")[-1]
        print(f"{name:18} {run:24} {ours['perplexity']:10.4f} {far:+.1e} {dtype}", flush=True)
        # A float16 model is computed in float16 by mlx-lm, and in float32 by the workbench.
        assert abs(far) < 5e-3, far


def main():
    mx.set_default_device(mx.cpu)
    for name in sys.argv[1:] or VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            check(name, Path(folder))


if __name__ == "__main__":
    main()
