"""Compares GGUF checkpoints of the command line with what llama.cpp's own converter writes from the same models.

The converter is convert_hf_to_gguf.py of llama.cpp v0.5.0, as the source package of llama-cpp-python 0.3.36 brings it along:

    pip install torch==2.15.0 transformers==5.24.0 sentencepiece==0.2.3
    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36 && tar xzf llama_cpp_python-0.3.36.tar.gz
    python3 e2e/oracle/check_gguf.py llama_cpp_python-0.3.36/vendor/llama.cpp [VARIANT ...]

Random models of transformers' classes with the configs of src/models/fixtures (rows that blocks of 32 divide), and the demo. All blocks but
the first stay in full precision. Of each: metadata that differ, tensors by name, type and shape; copied ones byte for byte, quantized ones
dequantized, within half a step of the converter's (and the rounding of the step to float16). A difference that is not in EXPECTED fails.
"""
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LLAMA_CPP = Path(sys.argv[1]).resolve()
sys.path[:0] = [str(LLAMA_CPP), str(LLAMA_CPP / "gguf-py")]

import gguf
import numpy as np
import torch
from conversion import get_model_class
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "public/demo"
VARIANTS = ["demo", "llama-2", "llama-3.2", "llama-biased-f16", "tinyllama-bf16", "mistral", "ministral-3", "qwen2", "qwen3", "smollm3", "granite",
            "olmo2", "olmo3", "phi-3", "phi-4-mini", "gemma-2", "gemma-3", "gemma-4", "gemma-4-e2b", "qwen3.5", "falcon-7b", "falcon-40b", "bloom"]
# By key without the architecture: why a key may be missing on one side, or differ.
EXPECTED = {
    "context_length": "ours ends at a sliding window that llama.cpp overlooks",
    "general.file_type": "the type of most weights: they are quantized here, and not by the converter",
    "general.name": "the converter makes its own spelling of the folder's name",
    "general.size_label": "the number of weights, for file names of the Hub only",
    "general.sampling": "settings of generation_config.json, which llama.cpp's own defaults replace",
    "general.base_model": "from the model card",
    "general.tags": "from the model card",
    "general.languages": "from the model card",
    "general.license": "from the model card",
    "general.quantization_version": "written with quantized types only",
    "attention.key_length": "the converter leaves out what follows from the hidden size",
    "attention.value_length": "the converter leaves out what follows from the hidden size",
    "rope.dimension_count": "the converter leaves out what follows from the hidden size",
    "rope.freq_base": "the converter leaves out llama.cpp's default",
    "attention.sliding_window_pattern": "what llama.cpp takes where it is not written, and its older versions always",
    "rope.scaling.yarn_attn_factor": "llama.cpp reads it for Grok only; for the others ours is in attn_factor",
    "rope.scaling.attn_factor": "one factor, spelled with a logarithmic multiplier of 1",
    "rope.scaling.yarn_log_multiplier": "one factor, spelled with a logarithmic multiplier of 1",
    "vocab_size": "llama.cpp counts the tokens",
    "final_logit_softcapping": "0 for a Gemma 4 without a cap, whose logits llama.cpp caps at 30 where nothing is said",
}


def quantize(model, out):
    command = ["npm", "run", "--silent", "quantize", "--", "--model", model, "--dataset", DEMO / "calibration.txt", "--eval",
               DEMO / "evaluation.txt", "--nsamples", "1", "--seqlen", "32", "--eval-samples", "1", "--save", out, "--json",
               "--quantization-method", "rtn", "--wbits", "8", "--groupsize", "32", "--sym", "--num-layers-to-quantize", "1", "--format", "gguf"]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if refused := re.search(r"GGUF cannot store .*", done.stderr):
        return refused[0]
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return next(out.glob("*.gguf"))


def random_model(name, folder):
    config = json.loads((ROOT / "src/models/fixtures" / name / "config.json").read_text())
    heads = "n_head" if name == "bloom" else "num_attention_heads"
    config |= {"hidden_size": 64, heads: 4, "vocab_size": 1024, "eos_token_id": 0, "bos_token_id": 0, "pad_token_id": None}
    if not name.startswith(("bloom", "falcon")):
        config |= {"intermediate_size": 96, "num_key_value_heads": 2}
    if name == "smollm3":
        config |= {"no_rope_layers": None, "no_rope_layer_interval": 4, "num_hidden_layers": 5, "layer_types": None}
    if "head_dim" in config:
        config["head_dim"] = 16
    # What llama.cpp has one value for, whatever the config says, is given that value.
    if "query_pre_attn_scalar" in config:
        config["query_pre_attn_scalar"] = 16
    if "linear_num_value_heads" in config:
        config |= {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 32, "linear_value_head_dim": 32}
    for own in (config.get("per_layer_config") or {}).values():
        own["head_dim"] = 32
    if config.get("hidden_size_per_layer_input"):
        config["hidden_size_per_layer_input"] = 32
    if name.startswith(("gemma-3", "gemma-4")):
        # Their converter cuts the embedding to the tokens that there are.
        config["vocab_size"] = config["vocab_size_per_layer_input"] = len(json.loads((DEMO / "tokenizer.json").read_text())["model"]["vocab"])
    if name == "gemma-3":
        config |= {"num_hidden_layers": 6, "layer_types": ["sliding_attention"] * 5 + ["full_attention"]}
        config["rope_parameters"]["sliding_attention"]["rope_theta"] = 10000.0
    if name == "olmo3":
        config["rope_parameters"]["sliding_attention"]["rope_theta"] = config["rope_parameters"]["full_attention"]["rope_theta"]
    if name.startswith("falcon"):
        config["ffn_hidden_size"] = 256
    if name == "falcon-7b":
        # transformers computes with one, and would write the number of all heads, which the converter takes at its word.
        config["num_kv_heads"] = 1
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    for key in {"short_factor", "long_factor"} & rope.keys():
        # One for each pair of the dimensions that rotate.
        share = rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1))
        rope[key] = [1 + i * rope[key][-1] / 10 for i in range(int(64 // 4 * share) // 2)]
    torch.manual_seed(3)
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    with torch.no_grad():
        for key, value in made.named_parameters():
            value.normal_(0, 0.2 if value.ndim > 1 else 0.1).add_(1.0 if value.ndim == 1 and "bias" not in key else 0.0)
    made.to(getattr(torch, config.get("dtype") or config.get("torch_dtype") or "float32")).save_pretrained(folder)
    shutil.copy(DEMO / "tokenizer.json", folder)
    shutil.copy(DEMO / "tokenizer_config.json", folder)


def convert(folder, out):
    config = json.loads((folder / "config.json").read_text())
    kind = get_model_class(config["architectures"][0])
    dtype = config.get("dtype") or config.get("torch_dtype")
    file_type = {"float32": "ALL_F32", "float16": "MOSTLY_F16", "bfloat16": "MOSTLY_BF16"}[dtype]
    # The tokenizer is the demo's, which the converter refuses: it knows byte-level ones by their hash, and SentencePiece's by its own file.
    for one in (kind, getattr(kind, "Ministral3Model", kind)):
        one.set_vocab = lambda self: None
    # Files here have no multi-token head.
    kind.no_mtp = True
    with torch.inference_mode():
        kind(folder, getattr(gguf.LlamaFileType, file_type), out).write()


def content(path):
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    return keys, {tensor.name: tensor for tensor in reader.tensors}


def compare_keys(ours, theirs):
    arch = theirs["general.architecture"]
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        if key.startswith("tokenizer."):
            continue
        a, b = ours.get(key), theirs.get(key)
        if a == b or (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= 1e-6 * abs(b)):
            continue
        short = key.removeprefix(f"{arch}.")
        why = next((reason for name, reason in EXPECTED.items() if short.startswith(name)), None)
        shown = [str(value)[:60] for value in (a, b)]
        found.append((short, shown, why))
    return found


def compare_tensors(ours, theirs):
    problems, copied, dequantized = [], 0, 0
    for name in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(name), theirs.get(name)
        if a is None or b is None:
            problems.append(f"{name} is in one file only: {'ours' if b is None else 'theirs'}")
        elif list(a.shape) != list(b.shape):
            problems.append(f"{name} has shape {list(a.shape)}, theirs {list(b.shape)}")
        elif a.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            got, want = (gguf.quants.dequantize(one.data, one.tensor_type) for one in (a, b))
            blocks = np.abs(got - want).reshape(-1, 32).max(1)
            steps = np.ascontiguousarray(a.data.reshape(-1, 34)[:, :2]).view(np.float16)[:, 0].astype(np.float32)
            # Half a step, and what rounding the step to float16 moves the largest of 128 codes.
            if (blocks > (0.5 + 128 / 2**11) * np.abs(steps)).any():
                problems.append(f"{name} is {(blocks / np.abs(steps)).max():.2f} steps from theirs")
            dequantized += 1
        elif a.tensor_type != b.tensor_type:
            problems.append(f"{name} is {a.tensor_type.name}, theirs {b.tensor_type.name}")
        elif name == "rope_freqs.weight" and np.allclose(a.data, b.data, rtol=1e-6, atol=0):
            # Computed, here in float64 and there in float32.
            copied += 1
        elif a.data.tobytes() != b.data.tobytes():
            problems.append(f"{name} has other bytes")
        else:
            copied += 1
    return problems, copied, dequantized


def main():
    failed = False
    reasons = set()
    for name in sys.argv[2:] or VARIANTS:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "model"
            if name == "demo":
                folder = DEMO
            else:
                random_model(name, folder)
            theirs = Path(place) / "theirs.gguf"
            convert(folder, theirs)
            ours = quantize(folder, Path(place) / "out")
            if isinstance(ours, str):
                print(f"{name}: {ours}", flush=True)
                continue
            (key_a, tensors_a), (key_b, tensors_b) = content(ours), content(theirs)
            keys = compare_keys(key_a, key_b)
            problems, copied, dequantized = compare_tensors(tensors_a, tensors_b)
            problems += [f"{key}: ours {shown[0]}, theirs {shown[1]}" for key, shown, why in keys if not why]
            reasons |= {(key, why) for key, _, why in keys if why}
            print(f"{name}: {copied} tensors the same bytes, {dequantized} within half a step; {'; '.join(problems) or 'nothing unexpected'}", flush=True)
            failed |= bool(problems)
    for key, why in sorted(reasons):
        print(f"  {key}: {why}")
    sys.exit(failed)


main()
