#!/bin/sh
# transformers 5.24.0, tokenizers 0.23.3: AutoTokenizer does not use the pre-tokenizer of a tokenizer.json when the file beside
# it names the class GPT2Tokenizer. SmolLM2 does: its tokenizer.json splits numbers into digits before byte-level BPE, its
# tokenizer_config.json names GPT2Tokenizer. transformers 4 loaded the file as it is; transformers 5 builds the class's own
# ByteLevel from vocabulary and merges, so "2026" becomes one token that the model never saw in training. No warning is given.
# Seen: AutoTokenizer ['2026'], the file itself ['2', '0', '2', '6'].
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

folder = Path(sys.argv[1]) / "model"
folder.mkdir()
tokens = ["<|endoftext|>", *"0123456789", "20", "26", "2026"]
tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [("2", "0"), ("2", "6"), ("20", "26")]))
# As in SmolLM2's tokenizer.json.
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["<|endoftext|>"])
tokenizer.save(str(folder / "tokenizer.json"))
end = "<|endoftext|>"
(folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer", "bos_token": end, "eos_token": end, "unk_token": end}))

seen = AutoTokenizer.from_pretrained(folder).tokenize("2026")
own = tokenizer.encode("2026").tokens
print("AutoTokenizer", seen, "- tokenizer.json", own)
sys.exit(seen != ["2026"] or own != ["2", "0", "2", "6"])
PYTHON
