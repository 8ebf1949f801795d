#!/bin/sh
# transformers 5.24.0 takes `rope_theta` of an OLMo 3 config.json for full attention only.
#
# Files of transformers 4 have one rope_theta beside the other fields, and version 4 (4.57.1) rotates all blocks by it. Version 5 moves it into
# rope_parameters.full_attention alone; blocks of sliding attention, three of four, take the default of 500,000, without a warning. The
# published models happen to have that base, so only models that were trained with another one compute something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet transformers==5.24.0
venv/bin/python - <<'PYTHON'
from transformers.models.olmo3.configuration_olmo3 import Olmo3Config

config = Olmo3Config.from_dict({"model_type": "olmo3", "rope_theta": 10000.0})
full, sliding = (config.rope_parameters[kind]["rope_theta"] for kind in ("full_attention", "sliding_attention"))
print(f"rope_theta is 10000; full attention takes {full:.0f}, sliding attention {sliding:.0f}")
assert (full, sliding) == (10000, 500000)
print("as stated")
PYTHON
