#!/usr/bin/env bash
# mlx-lm 0.32.2, LLaMA, Qwen2 and Gemma: rotary positions are not read from a config.json of transformers 5.
#
# transformers 5 writes the base and the scaling of rotary positions as one object, `rope_parameters`; until then they were
# `rope_theta` and `rope_scaling`. Qwen3's class in mlx-lm reads both, and refuses a config.json without a base. The classes of
# LLaMA, Qwen2 and Gemma read the older names alone, have a default for the base, and drop every key that they do not know: a model
# saved by transformers 5 loads without a word and computes with that default, and without scaling.
#
# Below, random models with the positions of Llama 3 (base 500,000; scaling `llama3` for LLaMA), saved with the config.json of
# transformers 5.24.0, and the same weights with the older names. Expected: the same logits. Seen: those of the default positions,
# bit for bit, and far from the right ones. The script fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'mlx[cpu]==0.32.4' mlx-lm==0.32.2 transformers==5.24.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes, load_model
from transformers import GemmaConfig, LlamaConfig, Qwen2Config, Qwen3Config

print(*(f"{name} {version(name)}" for name in ("mlx", "mlx-lm", "transformers")), sep=", ")
SIZES = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
             vocab_size=128, max_position_embeddings=1024)
BASE = 500_000.0
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
TOKENS = mx.array([[(i * i * 7 + 3 * i) % 128 for i in range(256)]])


def logits(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    model, _ = load_model(folder)
    return model(TOKENS)


seen = {}
for family, scaling in ((LlamaConfig, LLAMA3), (Qwen2Config, None), (GemmaConfig, None), (Qwen3Config, None)):
    positions = {"rope_theta": BASE, **(scaling or {"rope_type": "default"})}
    written = json.loads(family(**SIZES, rope_parameters=positions).to_json_string(use_diff=False))
    assert written["rope_parameters"] == positions and "rope_theta" not in written and "rope_scaling" not in written
    bare = {key: value for key, value in written.items() if key != "rope_parameters"}
    older = {**bare, "rope_theta": BASE, "rope_scaling": scaling}

    folder = Path(sys.argv[1]) / written["model_type"]
    folder.mkdir()
    mx.random.seed(0)
    model_class, arguments = _get_classes(older)
    weights = tree_flatten(model_class(arguments.from_dict(older)).parameters())
    mx.save_safetensors(str(folder / "model.safetensors"), {name: mx.random.normal(w.shape) * 0.2 if w.ndim > 1 else w for name, w in weights})

    right, got = logits(folder, older), logits(folder, written)
    difference = (mx.abs(got - right).max() / mx.abs(right).max()).item()
    overlooked = difference > 0 and mx.array_equal(got, logits(folder, bare)).item()
    seen[written["model_type"]] = overlooked
    print(f"{written['model_type']}: largest difference of a logit {difference:.3f} of the largest logit; "
          f"{'the logits of a config.json without positions' if overlooked else 'read'}")
    assert (difference > 0.05) == overlooked, "neither read nor overlooked"

assert seen == {"llama": True, "qwen2": True, "gemma": True, "qwen3": False}, "the behaviour has changed"
print("As described: three of the four overlook rope_parameters.")
PYTHON
