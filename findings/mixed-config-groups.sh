#!/bin/sh
# transformers 5.24.0, compressed-tensors 0.20.1: with dequantize=True a pack-quantized checkpoint of two config groups loads without
# a warning and computes other numbers, since every linear is unpacked by the first group that is not for experts; linears of another
# width come out as nonsense. Without it the same folder is right. Checkpoints with zero points load only with dequantize=True (see
# packed-zero-points.sh), so those with several widths do not load right in any way.
# Seen: largest difference of a logit from the dense model’s, of at most 0.559: 0 without, 0.0605 with dequantize=True.
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

torch.manual_seed(0)
folder = f"{sys.argv[1]}/model"
model = LlamaForCausalLM(LlamaConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=64))


def group(targets, bits):
    weights = QuantizationArgs(num_bits=bits, symmetric=True, strategy="group", group_size=32)
    return QuantizationScheme(targets=targets, weights=weights, format="pack-quantized")


groups = {"group_0": group(["re:.*(q|k|v|o|gate|up)_proj$"], 4), "group_1": group(["re:.*down_proj$"], 8)}
apply_quantization_config(model, QuantizationConfig(config_groups=groups, ignore=["lm_head"], format="pack-quantized"))
for module in model.modules():
    if hasattr(module, "weight_scale"):
        # Weights that lie on the grid, so that nothing is lost by quantizing them.
        top = 2 ** (module.quantization_scheme.weights.num_bits - 1) - 1
        rows = module.weight.data.unflatten(1, (-1, 32))
        module.weight_scale.data = rows.abs().amax(-1) / top
        scale = module.weight_scale.data[..., None]
        module.weight.data = (torch.round(rows / scale) * scale).flatten(1)
        module.quantization_enabled = False
ids = torch.arange(32)[None]
with torch.no_grad():
    dense = model(ids).logits
compressor = ModelCompressor.from_pretrained_model(model, quantization_format="pack-quantized")
compressor.compress_model(model)
model.save_pretrained(folder)
compressor.update_config(folder)


def away(**options):
    with torch.no_grad():
        found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)(ids).logits
    return float((found - dense).abs().max())


plain, dequantized = away(), away(quantization_config=CompressedTensorsConfig(dequantize=True))
print(f"largest logit {float(dense.abs().max()):.3f}; off by {plain:.2e} without, by {dequantized:.2e} with dequantize=True")
sys.exit(not (plain < 1e-4 and dequantized > 0.02))
PYTHON
