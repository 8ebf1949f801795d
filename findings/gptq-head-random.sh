#!/bin/sh
# transformers 5.24.0, GPTQModel 7.7.0: a GPTQ checkpoint whose head is quantized too (`lm_head: true`, a documented option of GPTQModel)
# loads in transformers, which uses GPTQModel's kernels for every other linear and puts a newly initialized head in the place of this
# one. config.json says `lm_head: true`, and the loader only lists the four tensors as unexpected, a remark that is usual and harmless
# elsewhere. Logits have nothing to do with the model's, and are others at each load; GPTQModel's own loader has them right.
# Seen: largest difference of a logit from the dense model’s, relative to its largest logit: GPTQModel 0.08, transformers 1.03 and, loaded
# once more, 1.25, with 1.04 between the two.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.15.0 transformers==5.24.0 accelerate==1.15.0 optimum==2.3.0 gptqmodel==7.7.0
# Where GPTQModel may ask for cores: otherwise it finds none on a small machine.
export HF_HUB_OFFLINE=1 GPTQMODEL_CPU_WORKERS=2
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON' | tail -n 1 | grep -E "right, random, random$"
import torch
from gptqmodel import BACKEND, GPTQModel
from gptqmodel.quantization.config import GPTQConfig
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

torch.manual_seed(0)
config = LlamaConfig(vocab_size=256, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2)
model = LlamaForCausalLM(config).half()
model.save_pretrained("dense")
words = Tokenizer(models.BPE({chr(33 + i): i for i in range(200)}, []))
PreTrainedTokenizerFast(tokenizer_object=words, eos_token="!").save_pretrained("dense")
maker = GPTQModel.load("dense", GPTQConfig(bits=4, group_size=32, lm_head=True), device="cpu")
rows = torch.randint(0, 200, (8, 64)).tolist()
maker.quantize([{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows], batch_size=1)
maker.save("packed")


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(32)[None], use_cache=False).logits.float()


def by_transformers(folder):
    return logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


dense = by_transformers("dense")
own = logits(GPTQModel.load("packed", device="cpu", backend=BACKEND.GPTQ_TORCH).model)
first, second = by_transformers("packed"), by_transformers("packed")


def away(some, other=dense):
    return float((some - other).abs().max() / dense.abs().max())


kinds = ["right" if away(some) < 0.2 else "random" if away(some) > 0.5 else "neither" for some in (own, first, second)]
figures = f"GPTQModel {away(own):.2f}, transformers {away(first):.2f} and {away(second):.2f}, {away(first, second):.2f} apart"
assert away(first, second) > 0.5, figures
print(f"{figures}: {', '.join(kinds)}")
PYTHON
