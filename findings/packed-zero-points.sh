#!/bin/sh
# transformers 5.24.0, compressed-tensors 0.20.1: a pack-quantized checkpoint with zero points does not load, although
# compressed-tensors wrote it itself, while a symmetric one does. transformers compresses an empty model to make room for the
# tensors; zero points of that model stay one a row, in the file they are packed into 32-bit words, and the shapes do not fit.
# With dequantize=True, as an argument or as a field of the quantization config, the same folder loads.
# Seen: symmetric logits, logits; asymmetric RuntimeError, logits.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.15.0 transformers==5.24.0 compressed-tensors==0.20.1 accelerate==1.15.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" 2>/dev/null <<'PYTHON'
import sys

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme, apply_quantization_config
from transformers import AutoModelForCausalLM, CompressedTensorsConfig, LlamaConfig, LlamaForCausalLM


def save(folder, symmetric):
    model = LlamaForCausalLM(LlamaConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=64))
    weights = QuantizationArgs(num_bits=4, symmetric=symmetric, strategy="group", group_size=32)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights, format="pack-quantized")
    apply_quantization_config(model, QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"], format="pack-quantized"))
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            rows = module.weight.data.unflatten(1, (-1, 32))
            module.weight_scale.data = (rows.amax(-1) - rows.amin(-1)) / 15
            if not symmetric:
                module.weight_zero_point.data = torch.round(-8 - rows.amin(-1) / module.weight_scale.data).clamp(-8, 7).to(torch.int8)
    compressor = ModelCompressor.from_pretrained_model(model, quantization_format="pack-quantized")
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)


def outcome(folder, **options):
    try:
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)(torch.arange(32)[None]).logits
        return "logits"
    except Exception as error:
        return type(error).__name__


seen = []
for symmetric in (True, False):
    folder = f"{sys.argv[1]}/{symmetric}"
    save(folder, symmetric)
    seen.append([outcome(folder), outcome(folder, quantization_config=CompressedTensorsConfig(dequantize=True))])
    print("symmetric" if symmetric else "asymmetric", *seen[-1])
sys.exit(seen != [["logits", "logits"], ["RuntimeError", "logits"]])
PYTHON
