#!/usr/bin/env bash
# transformers 5.24.0, Gemma 3: RoPE scaling under its older name, `"type"`, is dropped.
#
# A config.json may name the kind of RoPE scaling as `rope_type` or, as all files before 2024 do, as `type`. transformers takes
# both (LLaMA below). Gemma 3 merges `rope_scaling` into settings that have `rope_type: default` already, so `type` is never
# read: the model loads and runs unscaled, with only a warning that the key `factor` is not recognized for `default`.
# Expected: the same scaling by both names, or an error. The script fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.24.0
"$folder/venv/bin/python" - <<'PYTHON'
import transformers
from transformers import Gemma3TextConfig, LlamaConfig

print("transformers", transformers.__version__)


def kind(config):
    settings = config.rope_parameters
    return settings.get("full_attention", settings)["rope_type"]


seen = {}
for family in (LlamaConfig, Gemma3TextConfig):
    for name in ("rope_type", "type"):
        seen[family.__name__, name] = kind(family(rope_scaling={name: "linear", "factor": 8.0}))
        print(f'{family.__name__} with rope_scaling {{"{name}": "linear", "factor": 8.0}}: rope_type {seen[family.__name__, name]}')

assert seen == {
    ("LlamaConfig", "rope_type"): "linear",
    ("LlamaConfig", "type"): "linear",
    ("Gemma3TextConfig", "rope_type"): "linear",
    ("Gemma3TextConfig", "type"): "default",
}, "the behaviour has changed"
print("As described: Gemma 3 overlooks the older name.")
PYTHON
