"""Quantizes every variant by the command line and measures the written checkpoints with transformers.

    python3 e2e/oracle/check_exports.py [VARIANT ...]

For each variant: perplexity by transformers over the workbench's own figure, minus 1, for the model as it is, for a plain
checkpoint (QuantEase with outliers, which transformers opens by itself) and for a GPTQ checkpoint, unpacked here.
"""
import json
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, logging

from make_fixtures import VARIANTS, attention_of

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "public/demo"
LENGTH, WINDOWS = 64, 32
RUNS = {"plain": ["quantease", "--wbits", "3", "--num-iter", "5", "--outlier", "0.02"], "gptq": ["rtn", "--wbits", "3"]}


def quantize(model, out, method):
    command = ["npm", "run", "--silent", "quantize", "--", "--model", model, "--dataset", DEMO / "calibration.txt", "--eval",
               DEMO / "evaluation.txt", "--nsamples", "16", "--seqlen", str(LENGTH), "--eval-samples", str(WINDOWS),
               "--true-sequential", "--save", out, "--json", "--quantization-method", *method]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


@torch.no_grad()
def perplexity(model, ids):
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].double()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).exp().item()


def stream(words, count, bits):
    """`count` numbers of a little-endian bit stream down the rows of `words` [n, columns]."""
    words = words.astype(np.uint32)
    numbers = np.zeros((count, words.shape[1]), np.int64)
    for at in range(count * bits):
        numbers[at // bits] |= ((words[at // 32] >> (at % 32)) & 1).astype(np.int64) << at % bits
    return numbers


def unpack(folder, state):
    """Writes the dequantized linears of a GPTQ checkpoint into a state dict."""
    settings = json.loads((folder / "config.json").read_text())["quantization_config"]
    bits, offset = settings["bits"], int(settings["checkpoint_format"] == "gptq")
    with safe_open(folder / "model.safetensors", "np") as file:
        for module in (name.removesuffix(".qweight") for name in file.keys() if name.endswith(".qweight")):
            part = lambda suffix: file.get_tensor(f"{module}.{suffix}")
            groups, scales = part("g_idx"), part("scales").astype(np.float64)
            codes = stream(part("qweight"), len(groups), bits)
            zeros = stream(part("qzeros").T.copy(), scales.shape[1], bits).T + offset
            state[f"{module}.weight"].copy_(torch.tensor((scales[groups] * (codes - zeros[groups])).T))


def check(name, folder):
    source = folder / "model"
    shutil.copytree(ROOT / "src/models/fixtures" / name, source, ignore=shutil.ignore_patterns("expected.safetensors"))
    shutil.copy(DEMO / "tokenizer.json", source)
    tokens = Tokenizer.from_file(str(source / "tokenizer.json")).encode((DEMO / "evaluation.txt").read_text()).ids
    ids = torch.tensor(tokens[: WINDOWS * LENGTH]).view(WINDOWS, LENGTH)
    attention = attention_of(VARIANTS[name][0])
    load = lambda path: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation=attention).eval()
    ours = {run: quantize(source, folder / run, method) for run, method in RUNS.items()}
    model = load(source)
    found = {"as it is": perplexity(model, ids) / ours["gptq"]["fp_perplexity"] - 1}
    found["plain"] = perplexity(load(folder / "plain"), ids) / ours["plain"]["perplexity"] - 1
    unpack(folder / "gptq", model.state_dict())
    found["gptq"] = perplexity(model, ids) / ours["gptq"]["perplexity"] - 1
    print(f"{name:18}", "  ".join(f"{what} {far:+.1e}" for what, far in found.items()), flush=True)
    # A plain checkpoint rounds its weights to float16, after the run measured them.
    assert abs(found["as it is"]) < 1e-5 and abs(found["gptq"]) < 1e-5 and abs(found["plain"]) < 1e-2, found


def main():
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    for name in sys.argv[1:] or VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            check(name, Path(folder))


if __name__ == "__main__":
    main()
