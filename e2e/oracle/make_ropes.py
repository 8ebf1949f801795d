"""Records the rotary angles that transformers computes from settings in all their spellings.

    python3 e2e/oracle/make_ropes.py     (into src/models/fixtures/ropes.json)

For each case: the fields of config.json, the length of a window, and by kind of attention ("" where all blocks are alike) the
angles per position step that transformers uses in such a window, and the factor of its cosines and sines.
"""
import json
from pathlib import Path

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.falcon.modeling_falcon import FalconRotaryEmbedding
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.granite.modeling_granite import GraniteRotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.ministral3.modeling_ministral3 import Ministral3RotaryEmbedding
from transformers.models.olmo3.modeling_olmo3 import Olmo3RotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding
from transformers.models.smollm3.modeling_smollm3 import SmolLM3RotaryEmbedding

EMBEDDINGS = {
    "falcon": FalconRotaryEmbedding,
    "gemma3_text": Gemma3RotaryEmbedding,
    "granite": GraniteRotaryEmbedding,
    "llama": LlamaRotaryEmbedding,
    "ministral3": Ministral3RotaryEmbedding,
    "olmo3": Olmo3RotaryEmbedding,
    "phi3": Phi3RotaryEmbedding,
    "smollm3": SmolLM3RotaryEmbedding,
}

BASE = dict(vocab_size=64, hidden_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4, intermediate_size=96,
            max_position_embeddings=256, bos_token_id=0, eos_token_id=0, pad_token_id=None)
LIST = [1.0, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0]
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
LONG = dict(rope_type="longrope", short_factor=LIST, long_factor=[2 * x for x in LIST])
BETA = dict(llama_4_scaling_beta=0.1)


def old(theta, **scaling):
    return dict(rope_theta=theta, rope_scaling=scaling)


def new(theta, **scaling):
    return dict(rope_parameters=dict(rope_theta=theta, **scaling))


# model_type, fields, length of the window
CASES = {
    "nothing at all": ("llama", {}, 64),
    "nothing at all, of SmolLM3": ("smollm3", {}, 64),
    "nothing at all, of Ministral 3": ("ministral3", dict(max_position_embeddings=262144), 64),
    "nothing at all, of OLMo 3": ("olmo3", {}, 64),
    "nothing at all, of Gemma 3": ("gemma3_text", dict(head_dim=16), 64),
    "nothing at all, of Phi-3": ("phi3", {}, 64),
    "the base alone": ("llama", dict(rope_theta=5e5), 64),
    "the base beside no scaling": ("llama", dict(rope_theta=5e5, rope_scaling=None), 64),
    "default": ("llama", new(5e5, rope_type="default"), 64),
    "linear, old": ("llama", old(1e4, type="linear", factor=2.5), 64),
    "linear, new": ("llama", new(1e4, rope_type="linear", factor=2.5), 64),
    "linear, of Falcon": ("falcon", old(1e4, type="linear", factor=2.5), 64),
    "dynamic, old": ("llama", old(1e4, type="dynamic", factor=4.0), 256),
    "dynamic, new": ("llama", new(1e4, rope_type="dynamic", factor=4.0), 256),
    "llama3, old": ("llama", old(500.0, **LLAMA3), 64),
    "llama3, new": ("llama", new(500.0, **LLAMA3), 64),
    "yarn, old, by type": ("llama", old(1e4, type="yarn", factor=4.0, original_max_position_embeddings=64), 64),
    "yarn, both names": ("llama", old(1e4, type="yarn", **YARN), 64),
    "yarn, new": ("llama", new(1e4, **YARN), 64),
    "yarn, of Falcon": ("falcon", new(1e4, **YARN), 64),
    "yarn without the length before": ("llama", new(1e4, rope_type="yarn", factor=4.0), 64),
    "yarn without a factor": ("llama", new(1e4, **{**YARN, "factor": None}), 64),
    "yarn with other rotations": ("llama", new(100.0, **YARN, beta_fast=4, beta_slow=0.5), 64),
    "yarn with rotations of 0": ("llama", new(100.0, **YARN, beta_fast=0, beta_slow=None), 64),
    "yarn, not truncated": ("llama", new(100.0, **YARN, beta_fast=4, beta_slow=0.5, truncate=False), 64),
    "yarn with an attention factor": ("llama", new(1e4, **YARN, attention_factor=1.5), 64),
    "yarn with an attention factor of 0": ("llama", new(1e4, **YARN, attention_factor=0.0), 64),
    "yarn with both mscales": ("llama", new(1e4, **YARN, mscale=0.7, mscale_all_dim=1.2), 64),
    "yarn with one mscale": ("llama", new(1e4, **YARN, mscale=0.7), 64),
    "yarn that shrinks": ("llama", new(1e4, **{**YARN, "factor": 0.5}), 64),
    "yarn with a ramp of no length": ("llama", new(1e4, **YARN, beta_fast=1e6, beta_slow=1e6), 64),
    "yarn, of Ministral 3": ("ministral3", new(1e6, **YARN, **BETA, mscale=1.0, mscale_all_dim=1.0), 64),
    "longrope, short": ("phi3", dict(original_max_position_embeddings=64, **old(1e4, **LONG)), 64),
    "longrope, long": ("phi3", dict(original_max_position_embeddings=64, **old(1e4, **LONG)), 68),
    "longrope, named su": ("phi3", dict(original_max_position_embeddings=64,
                                        **old(1e4, **{**LONG, "rope_type": "su"}, original_max_position_embeddings=64)), 64),
    "longrope, new": ("phi3", dict(original_max_position_embeddings=64, **new(1e4, **LONG, original_max_position_embeddings=64)), 68),
    "longrope with the length inside": ("granite", new(1e4, **LONG, original_max_position_embeddings=64), 68),
    "longrope with a factor": ("granite", new(1e4, **LONG, original_max_position_embeddings=64, factor=4.0), 68),
    "longrope with an attention factor": ("granite", new(1e4, **LONG, original_max_position_embeddings=64, attention_factor=1.25), 64),
    "longrope without stretching": ("granite", new(1e4, **LONG), 64),
    "a part of each head": ("phi3", dict(partial_rotary_factor=0.4, rope_theta=1e4), 64),
    "a part of each head, inside": ("phi3", new(1e4, partial_rotary_factor=0.4), 64),
    "longrope of a part": ("phi3", dict(partial_rotary_factor=0.5, original_max_position_embeddings=64,
                                        **old(1e4, type="longrope", short_factor=LIST[:4], long_factor=LIST[4:])), 64),
    "by kind, new": ("olmo3", dict(rope_parameters=dict(full_attention=dict(rope_theta=5e5, **YARN),
                                                        sliding_attention=dict(rope_theta=1e4, rope_type="default"))), 64),
    "by kind, old": ("olmo3", old(5e5, **YARN), 64),
    "by kind, without a base": ("olmo3", dict(rope_parameters=dict(full_attention=YARN, sliding_attention=dict(rope_type="default"))), 64),
    "by kind, of Gemma 3, old": ("gemma3_text", dict(head_dim=16, rope_theta=1e6, rope_local_base_freq=2e4,
                                                     rope_scaling=dict(rope_type="linear", factor=8.0)), 64),
}


def angles(embedding, kind, length):
    """Angles and factor in a window of this length."""
    of = (lambda name: getattr(embedding, f"{kind}_{name}")) if kind else (lambda name: getattr(embedding, name))
    more = [kind] if kind else []
    embedding(torch.zeros(1), torch.arange(length)[None], *more)
    return {"inverse": of("inv_freq").tolist(), "factor": float(of("attention_scaling"))}


def main():
    cases = []
    for name, (model_type, fields, length) in CASES.items():
        given = {**BASE, **fields}
        config = CONFIG_MAPPING[model_type].from_dict(json.loads(json.dumps(given)))
        embedding = EMBEDDINGS[model_type](config)
        kinds = sorted(set(config.layer_types)) if model_type in ("olmo3", "gemma3_text") else [""]
        cases.append({"name": name, "config": {"model_type": model_type, **given}, "length": length,
                      "angles": {kind: angles(embedding, kind, length) for kind in kinds}})
    out = Path(__file__).parents[2] / "src/models/fixtures/ropes.json"
    lines = ",\n".join(json.dumps(case) for case in cases)
    out.write_text(f'{{"transformers": "{transformers.__version__}", "cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
