"""Makes tiny random models of every supported family, and records what transformers computes with them.

    python3 e2e/oracle/make_fixtures.py [OUT [VARIANT ...]]     (default: all into src/models/fixtures)

For each variant OUT/<variant>/ gets config.json and the weights as save_pretrained writes them, and expected.safetensors:

    ids                          [sequences, T] i32
    logits                       [sequences, T, vocab] f32
    blocks.<k>.<linear>.input    [sequences * T, p] f32, for the first and the last block
    blocks.<k>.<linear>.gram     [p, p] f32, input^T input, summed in float64

Linears that see the very same numbers are recorded once, under the one that is used first; `stages` in the metadata lists
all of them, in the order of use, by block where the blocks differ. The models are read back from disk and run in float32.
"""
import json
import math
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.bloom.configuration_bloom import BloomConfig
from transformers.models.falcon.configuration_falcon import FalconConfig
from transformers.models.gemma2.configuration_gemma2 import Gemma2Config
from transformers.models.gemma3.configuration_gemma3 import Gemma3Config, Gemma3TextConfig
from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig
from transformers.models.granite.configuration_granite import GraniteConfig
from transformers.models.granitemoehybrid.configuration_granitemoehybrid import GraniteMoeHybridConfig
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.idefics3.configuration_idefics3 import Idefics3Config
from transformers.models.internvl.configuration_internvl import InternVLConfig
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llava.configuration_llava import LlavaConfig
from transformers.models.ministral3.configuration_ministral3 import Ministral3Config
from transformers.models.mistral.configuration_mistral import MistralConfig
from transformers.models.mistral3.configuration_mistral3 import Mistral3Config
from transformers.models.olmo2.configuration_olmo2 import Olmo2Config
from transformers.models.olmo3.configuration_olmo3 import Olmo3Config
from transformers.models.opt.configuration_opt import OPTConfig
from transformers.models.phi3.configuration_phi3 import Phi3Config
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config
from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5Config, Qwen3_5TextConfig
from transformers.models.pixtral.configuration_pixtral import PixtralVisionConfig
from transformers.models.siglip.configuration_siglip import SiglipVisionConfig
from transformers.models.smollm3.configuration_smollm3 import SmolLM3Config
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMConfig

VOCAB = 1024  # of the demo's tokenizer
SEQUENCES, T = 2, 13  # T is odd on purpose
WINDOW = 5  # sliding windows are shorter than the sequences
LIMIT, LIMIT_ALL = 600_000, 12_000_000

SPECIAL = dict(vocab_size=VOCAB, bos_token_id=0, eos_token_id=0, pad_token_id=None)
ROTARY = dict(SPECIAL, max_position_embeddings=512)


def rope(theta, **more):
    return {"rope_type": "default", "rope_theta": float(theta), **more}


GEMMA_4 = dict(ROTARY, pad_token_id=0, vocab_size_per_layer_input=VOCAB, hidden_size=20, intermediate_size=28, num_hidden_layers=4,
               num_attention_heads=4, num_key_value_heads=2, head_dim=8, global_head_dim=16, hidden_size_per_layer_input=0,
               sliding_window=WINDOW)

# name -> (config, how it is stored). Sizes are odd on purpose, though 4 divides them.
VARIANTS = {
    # One key/value head per head, own head.
    "llama-2": (
        LlamaConfig(**ROTARY, hidden_size=24, intermediate_size=52, num_hidden_layers=2, num_attention_heads=3,
                    num_key_value_heads=3, rms_norm_eps=1e-5, tie_word_embeddings=False, rope_parameters=rope(10000)),
        {},
    ),
    # llama3 scaling that reaches all three of its branches within the sequences, grouped heads, tied.
    "llama-3.2": (
        LlamaConfig(**ROTARY, hidden_size=32, intermediate_size=44, num_hidden_layers=3, num_attention_heads=4,
                    num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=True,
                    rope_parameters=rope(500, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                         original_max_position_embeddings=16)),
        {},
    ),
    # Every bias there can be, linear scaling.
    "llama-biased-f16": (
        LlamaConfig(**ROTARY, hidden_size=28, intermediate_size=60, num_hidden_layers=2, num_attention_heads=7,
                    num_key_value_heads=7, rms_norm_eps=1e-6, tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
                    rope_parameters=rope(10000, rope_type="linear", factor=2.5)),
        {"dtype": torch.float16},
    ),
    "tinyllama-bf16": (
        LlamaConfig(**ROTARY, hidden_size=40, intermediate_size=76, num_hidden_layers=2, num_attention_heads=5,
                    num_key_value_heads=1, rms_norm_eps=1e-5, tie_word_embeddings=False, rope_parameters=rope(10000)),
        {"dtype": torch.bfloat16},
    ),
    # Heads wider than hidden / heads.
    "mistral": (
        MistralConfig(**ROTARY, hidden_size=28, intermediate_size=44, num_hidden_layers=2, num_attention_heads=6,
                      num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5, tie_word_embeddings=False,
                      sliding_window=WINDOW, rope_parameters=rope(10000)),
        {},
    ),
    # 576 = 4.5 x 128 and nine heads in three groups, a sixteenth of it; sharded.
    "smollm2-sharded": (
        LlamaConfig(**ROTARY, hidden_size=36, intermediate_size=100, num_hidden_layers=2, num_attention_heads=9,
                    num_key_value_heads=3, rms_norm_eps=1e-5, tie_word_embeddings=True, rope_parameters=rope(100000),
                    rope_interleaved=False),
        {"shard": "100KB"},
    ),
    "qwen2": (
        Qwen2Config(**ROTARY, hidden_size=28, intermediate_size=76, num_hidden_layers=2, num_attention_heads=7,
                    num_key_value_heads=1, rms_norm_eps=1e-6, tie_word_embeddings=True, rope_parameters=rope(1000000)),
        {},
    ),
    # The window holds from block max_window_layers on.
    "qwen2-window": (
        Qwen2Config(**ROTARY, hidden_size=24, intermediate_size=44, num_hidden_layers=3, num_attention_heads=6,
                    num_key_value_heads=2, rms_norm_eps=1e-6, tie_word_embeddings=False, rope_parameters=rope(1000000),
                    use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
        {},
    ),
    "qwen3": (
        Qwen3Config(**ROTARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                    num_key_value_heads=2, head_dim=12, rms_norm_eps=1e-6, tie_word_embeddings=True,
                    rope_parameters=rope(1000000)),
        {},
    ),
    "opt": (
        OPTConfig(**SPECIAL, hidden_size=24, ffn_dim=52, num_hidden_layers=2, num_attention_heads=3,
                  max_position_embeddings=128, word_embed_proj_dim=24),
        {},
    ),
    # Post-norm, and an embedding narrower than the blocks.
    "opt-350m": (
        OPTConfig(**SPECIAL, hidden_size=32, ffn_dim=44, num_hidden_layers=3, num_attention_heads=4,
                  max_position_embeddings=128, word_embed_proj_dim=20, do_layer_norm_before=False),
        {},
    ),
    # Seven heads: ALiBi's slopes for a count that is no power of two.
    "bloom": (BloomConfig(**SPECIAL, hidden_size=28, n_layer=2, n_head=7), {}),
    "falcon-7b": (
        FalconConfig(**ROTARY, hidden_size=28, num_hidden_layers=2, num_attention_heads=7, multi_query=True,
                     parallel_attn=True, new_decoder_architecture=False, alibi=False, bias=False,
                     rope_parameters=rope(10000)),
        {},
    ),
    "falcon-40b": (
        FalconConfig(**ROTARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_kv_heads=2,
                     new_decoder_architecture=True, ffn_hidden_size=52, alibi=False, bias=False,
                     rope_parameters=rope(10000)),
        {},
    ),
    # The new architecture with one norm for both branches, and a head of its own.
    "falcon-11b": (
        FalconConfig(**ROTARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, num_kv_heads=3,
                     new_decoder_architecture=True, num_ln_in_parallel_attn=1, ffn_hidden_size=40, alibi=False, bias=False,
                     tie_word_embeddings=False, rope_parameters=rope(500042)),
        {},
    ),
    # Nine heads: slopes that bfloat16 does not hold exactly.
    "falcon-rw-1b": (
        FalconConfig(**ROTARY, hidden_size=36, num_hidden_layers=2, num_attention_heads=9, multi_query=False,
                     parallel_attn=False, new_decoder_architecture=False, ffn_hidden_size=60, alibi=True, bias=True,
                     rope_parameters=rope(10000)),
        {},
    ),
    # Windows on every other block, capped scores and logits.
    "gemma-2": (
        Gemma2Config(**ROTARY, hidden_size=24, intermediate_size=44, num_hidden_layers=3, num_attention_heads=4,
                     num_key_value_heads=2, head_dim=8, query_pre_attn_scalar=12, sliding_window=WINDOW,
                     attn_logit_softcapping=3.0, final_logit_softcapping=10.0, rope_parameters=rope(10000)),
        {},
    ),
    # Each kind of attention with a RoPE of its own.
    "gemma-3": (
        Gemma3TextConfig(**ROTARY, hidden_size=36, intermediate_size=52, num_hidden_layers=3, num_attention_heads=3,
                         num_key_value_heads=1, head_dim=8, query_pre_attn_scalar=12, sliding_window=WINDOW,
                         layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                         rope_parameters={"sliding_attention": rope(100),
                                          "full_attention": rope(10000, rope_type="linear", factor=2.0)}),
        {},
    ),
    # Residuals that start from the norms' outputs.
    "bloom-residual": (BloomConfig(**SPECIAL, hidden_size=12, n_layer=2, n_head=3, apply_residual_connection_post_layernorm=True), {}),
    # No biases in the linears, and no norm at the end.
    "opt-bare": (
        OPTConfig(**SPECIAL, hidden_size=8, ffn_dim=20, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
                  word_embed_proj_dim=8, enable_bias=False, _remove_final_layer_norm=True),
        {},
    ),
    # One key/value head for all, and ALiBi.
    "falcon-alibi": (
        FalconConfig(**ROTARY, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, multi_query=True, parallel_attn=False,
                     new_decoder_architecture=False, ffn_hidden_size=20, alibi=True, bias=False, rope_parameters=rope(10000)),
        {},
    ),
    # Queries grow at every fourth position; both ends of YaRN's ramp lie among the angles.
    "ministral-3": (
        Ministral3Config(**ROTARY, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=8, tie_word_embeddings=True,
                         rope_parameters=rope(100, rope_type="yarn", factor=8.0, original_max_position_embeddings=4, beta_fast=1.0,
                                              beta_slow=0.05, mscale=1.0, mscale_all_dim=0.5, llama_4_scaling_beta=0.4)),
        {},
    ),
    # Blocks without rotation have windows.
    "smollm3": (
        SmolLM3Config(**ROTARY, hidden_size=16, intermediate_size=36, num_hidden_layers=3, num_attention_heads=4,
                      num_key_value_heads=2, no_rope_layer_interval=2, use_sliding_window=True, sliding_window=WINDOW,
                      rope_parameters=rope(2000000)),
        {"dtype": torch.bfloat16},
    ),
    "olmo2": (
        Olmo2Config(**ROTARY, hidden_size=24, intermediate_size=28, num_hidden_layers=2, num_attention_heads=6,
                    num_key_value_heads=2, rope_parameters=rope(500000)),
        {"dtype": torch.bfloat16},
    ),
    # Settings by kind of attention.
    "olmo3": (
        Olmo3Config(**ROTARY, hidden_size=16, intermediate_size=28, num_hidden_layers=4, num_attention_heads=2,
                    num_key_value_heads=2, sliding_window=WINDOW,
                    rope_parameters={"sliding_attention": rope(100),
                                     "full_attention": rope(500, rope_type="yarn", factor=4.0, attention_factor=1.3,
                                                            original_max_position_embeddings=8)}),
        {"dtype": torch.bfloat16},
    ),
    # Windows on all blocks, a key/value head for each head, and the short factors of longrope.
    "phi-3": (
        Phi3Config(**ROTARY, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                   num_key_value_heads=2, sliding_window=WINDOW, original_max_position_embeddings=16,
                   rope_parameters=rope(10000, rope_type="longrope", short_factor=[1.0, 1.1, 1.5, 2.0],
                                        long_factor=[1.0, 3.0, 9.0, 27.0])),
        {"dtype": torch.bfloat16},
    ),
    # Three quarters of each head rotate, by the long factors.
    "phi-4-mini": (
        Phi3Config(**ROTARY, hidden_size=24, intermediate_size=28, num_hidden_layers=2, num_attention_heads=3,
                   num_key_value_heads=1, tie_word_embeddings=True, original_max_position_embeddings=8,
                   rope_parameters=rope(10000, rope_type="longrope", partial_rotary_factor=0.75,
                                        short_factor=[1.0, 1.1, 1.2], long_factor=[1.0, 4.0, 16.0])),
        {"dtype": torch.bfloat16},
    ),
    "granite": (
        GraniteConfig(**ROTARY, hidden_size=20, intermediate_size=28, num_hidden_layers=2, num_attention_heads=5,
                      num_key_value_heads=1, tie_word_embeddings=True, attention_bias=True, mlp_bias=True, rope_parameters=rope(10000),
                      embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.4, logits_scaling=5.0),
        {"dtype": torch.bfloat16},
    ),
    # Repositories with an encoder of images, of which only the text model counts.
    "mistral3": (
        Mistral3Config(
            text_config=Ministral3Config(**ROTARY, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
                                         num_key_value_heads=2, head_dim=8,
                                         rope_parameters=rope(10000, rope_type="yarn", factor=4.0, llama_4_scaling_beta=0.2,
                                                              original_max_position_embeddings=8)),
            vision_config=PixtralVisionConfig(hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=1,
                                              image_size=28, patch_size=14),
            image_token_index=5, tie_word_embeddings=True),
        {"dtype": torch.bfloat16},
    ),
    "gemma-3-vision": (
        Gemma3Config(
            text_config=Gemma3TextConfig(**ROTARY, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                                         num_key_value_heads=1, head_dim=8, sliding_window=WINDOW,
                                         layer_types=["sliding_attention", "full_attention"]),
            vision_config=SiglipVisionConfig(hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=1,
                                             image_size=28, patch_size=14, vision_use_head=False),
            mm_tokens_per_image=4, image_token_index=5, boi_token_index=6, eoi_token_index=7),
        {"dtype": torch.bfloat16},
    ),
    "smolvlm": (
        SmolVLMConfig(
            text_config=LlamaConfig(**ROTARY, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                                    num_key_value_heads=1, rope_parameters=rope(100000)),
            vision_config=dict(hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=1, image_size=28,
                               patch_size=14),
            image_token_id=5, pad_token_id=0, scale_factor=2, tie_word_embeddings=False),
        {"dtype": torch.bfloat16},
    ),
    # Without experts and state-space blocks.
    "granite-4": (
        GraniteMoeHybridConfig(**ROTARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                               num_local_experts=0, num_experts_per_tok=0, shared_intermediate_size=28, tie_word_embeddings=True,
                               layer_types=["full_attention"] * 2, position_embedding_type="rope", mamba_n_heads=4,
                               rope_parameters=rope(10000), embedding_multiplier=2.0, attention_multiplier=0.4,
                               residual_multiplier=0.5, logits_scaling=3.0),
        {"dtype": torch.bfloat16},
    ),
    # Three delta nets, whose keys serve two heads of values each, before a block that attends.
    "qwen3.5": (
        Qwen3_5TextConfig(**ROTARY, hidden_size=24, intermediate_size=28, num_hidden_layers=4, num_attention_heads=2,
                          num_key_value_heads=1, head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4,
                          linear_key_head_dim=8, linear_value_head_dim=12, tie_word_embeddings=True, rope_parameters=rope(10000)),
        {"dtype": torch.bfloat16},
    ),
    "qwen3.5-vision": (
        Qwen3_5Config(
            text_config=Qwen3_5TextConfig(**ROTARY, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                                          num_key_value_heads=2, head_dim=8, linear_num_key_heads=4, linear_num_value_heads=4,
                                          linear_key_head_dim=4, linear_value_head_dim=8, attention_bias=True,
                                          layer_types=["full_attention", "linear_attention"],
                                          rope_parameters=rope(10000, partial_rotary_factor=0.5, mrope_interleaved=True,
                                                               mrope_section=[1, 1, 0])),
            vision_config=dict(hidden_size=8, intermediate_size=12, depth=1, num_heads=1, patch_size=2, out_hidden_size=16,
                               num_position_embeddings=4),
            image_token_id=5, video_token_id=6, vision_start_token_id=7, vision_end_token_id=8),
        {"dtype": torch.bfloat16},
    ),
    "llava": (
        LlavaConfig(
            text_config=LlamaConfig(**ROTARY, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                                    num_key_value_heads=2, rope_parameters=rope(10000)),
            vision_config=CLIPVisionConfig(hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=1, image_size=28,
                                           patch_size=14, projection_dim=8),
            image_token_index=5, tie_word_embeddings=False),
        {"dtype": torch.bfloat16},
    ),
    "internvl": (
        InternVLConfig(
            text_config=Qwen2Config(**ROTARY, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4,
                                    num_key_value_heads=2, rope_parameters=rope(10000)),
            vision_config=dict(hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=1, image_size=[28, 28],
                               patch_size=[14, 14]),
            image_token_id=5, tie_word_embeddings=True),
        {"dtype": torch.bfloat16},
    ),
    "idefics3": (
        Idefics3Config(
            text_config=LlamaConfig(**ROTARY, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4,
                                    num_key_value_heads=1, rope_parameters=rope(10000)),
            vision_config=dict(hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=1, image_size=28,
                               patch_size=14),
            image_token_id=5, pad_token_id=0, scale_factor=2, tie_word_embeddings=True),
        {"dtype": torch.bfloat16},
    ),
    # Blocks that see everything have wider heads, fewer of them for keys, and keys for values.
    "gemma-4": (
        Gemma4TextConfig(**GEMMA_4, attention_k_eq_v=True, num_global_key_value_heads=1, layer_types=["sliding_attention", "full_attention"] * 2,
                         final_logit_softcapping=10.0,
                         rope_parameters={"sliding_attention": rope(100),
                                          "full_attention": rope(1000, rope_type="proportional", partial_rotary_factor=0.5)}),
        {"dtype": torch.bfloat16},
    ),
    # Tokens say something to every block, and the last three take keys and values from those before, with wider MLPs.
    "gemma-4-e2b": (
        Gemma4TextConfig(**{**GEMMA_4, "hidden_size": 24, "num_hidden_layers": 6, "hidden_size_per_layer_input": 4},
                         num_kv_shared_layers=3, use_double_wide_mlp=True, layer_types=["sliding_attention", "sliding_attention", "full_attention"] * 2,
                         rope_parameters={"sliding_attention": rope(100),
                                          "full_attention": rope(1000, rope_type="proportional", partial_rotary_factor=0.5)}),
        {"dtype": torch.bfloat16},
    ),
}


def attention_of(config):
    # Falcon's eager branch adds ALiBi twice (in the mask and in the scores); its default branch adds it once.
    return "sdpa" if getattr(config, "alibi", False) else "eager"


def randomize(model, seed):
    """Weights that keep activations around 1 and attention uneven; norms away from 1, biases away from 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.dim() == 1:
            center = 0 if name.endswith(("bias", "A_log")) or less_one(model, name) else 1
            noise = center + 0.3 * noise
        elif "embed" in name or "lm_head" in name:
            noise = 0.6 * noise
        else:
            noise *= 1.2 / math.sqrt(tensor.shape[1])
        tensor.data.copy_(noise)
    for name, tensor in model.named_buffers():
        if name.endswith("layer_scalar"):
            tensor.copy_(0.8 + 0.3 * torch.rand(tensor.shape, generator=generator))


def less_one(model, name):
    """Gemma and Qwen3.5 store the weights of norms less 1, of delta nets' own norms whole."""
    kind = model.config.model_type
    return "gemma" in kind and "gemma4" not in kind or "qwen3_5" in kind and "linear_attn" not in name


def class_of(config):
    return AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM


def blocks_of(model):
    """Those of the text model."""
    return next(module for module in model.get_decoder().modules() if isinstance(module, torch.nn.ModuleList))


@torch.no_grad()
def run(model, ids):
    """Logits, and for the first and last block the input of each linear `[sequences * T, p]`, in the order of use."""
    blocks = blocks_of(model)
    inputs = {k: {} for k in (0, len(blocks) - 1)}
    hooks = []
    for k, seen in inputs.items():
        for name, module in blocks[k].named_modules():
            if isinstance(module, torch.nn.Linear):
                def hook(_, args, seen=seen, name=name):
                    seen[name] = args[0].reshape(-1, args[0].shape[-1]).clone()
                hooks.append(module.register_forward_pre_hook(hook))
    logits = model(input_ids=ids, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    return logits, inputs


def stages_of(seen):
    stages = []
    for name, x in seen.items():
        same = next((stage for stage in stages if x.shape == seen[stage[0]].shape and torch.equal(x, seen[stage[0]])), None)
        if same:
            same.append(name)
        else:
            stages.append([name])
    return stages


def check_window(model, ids):
    """With a wider window the first `WINDOW` positions stay what they are, and all later ones change."""
    logits, _ = run(model, ids)
    config = model.config.get_text_config()
    window, config.sliding_window = config.sliding_window, 4 * T
    wide, _ = run(model, ids)
    config.sliding_window = window
    far = (wide - logits).abs().amax(dim=(0, 2))
    assert (far[:WINDOW] < 1e-5).all() and (far[WINDOW:] > 1e-2).all(), far


def check_alibi(model, ids):
    """ALiBi is in effect, once: block 0's attention once more from its fused projection, in float64."""
    attention = blocks_of(model)[0].self_attention
    states = {}
    hooks = [attention.query_key_value.register_forward_hook(lambda _, args, out: states.update(qkv=out)),
             attention.dense.register_forward_pre_hook(lambda _, args: states.update(mixed=args[0]))]
    run(model, ids)
    for hook in hooks:
        hook.remove()
    heads = model.config.num_attention_heads
    shared = heads if getattr(model.config, "multi_query", False) else 1
    fused = states["qkv"].double().view(SEQUENCES, T, heads // shared, shared + 2, -1)
    parts = fused[:, :, :, :-2], fused[:, :, :, [-2]], fused[:, :, :, [-1]]
    q, k, v = (part.expand_as(parts[0]).flatten(2, 3).transpose(1, 2) for part in parts)
    d = q.shape[-1]
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (h + 1) / power) for h in range(power)]
    slopes += [2 ** (-8 * (2 * j + 1) / (2 * power)) for j in range(heads - power)]
    bias = torch.tensor(slopes, dtype=torch.float64)[:, None] * torch.arange(T)
    if model.config.model_type == "falcon":
        bias = (torch.tensor(slopes, dtype=torch.bfloat16)[:, None] * torch.arange(T)).double() / math.sqrt(d)

    def far(times):
        scores = q @ k.transpose(-1, -2) / math.sqrt(d) + times * bias[:, None, :]
        scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(SEQUENCES, T, -1)
        return (mixed - states["mixed"]).abs().max().item()

    assert far(1) < 1e-5 and far(0) > 1e-2 and far(2) > 1e-2, [far(0), far(1), far(2)]


def make(name, out):
    config, how = VARIANTS[name]
    seed = list(VARIANTS).index(name)
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    model = class_of(config).from_config(config)
    randomize(model, seed)
    model.tie_weights()
    model.to(how.get("dtype", torch.float32)).save_pretrained(folder, max_shard_size=how.get("shard", "1GB"))
    (folder / "generation_config.json").unlink(missing_ok=True)

    model = class_of(config).from_pretrained(folder, dtype=torch.float32, attn_implementation=attention_of(config)).eval()
    ids = torch.randint(0, VOCAB, (SEQUENCES, T), generator=torch.Generator().manual_seed(100 + seed))
    logits, inputs = run(model, ids)
    if getattr(config.get_text_config(), "sliding_window", None):
        check_window(model, ids)
    if config.model_type == "bloom" or getattr(config, "alibi", False):
        check_alibi(model, ids)

    tensors = {"ids": ids.int(), "logits": logits}
    stages = [stages_of(seen) for seen in inputs.values()]
    for (k, seen), own in zip(inputs.items(), stages):
        for linear, *_ in own:
            x = seen[linear]
            tensors[f"blocks.{k}.{linear}.input"] = x
            tensors[f"blocks.{k}.{linear}.gram"] = (x.double().T @ x.double()).float()
    # One entry: several would come in an order that changes from run to run.
    about = {"stages": stages[0] if stages[0] == stages[1] else dict(zip(map(str, inputs), stages)), "transformers": transformers.__version__, "torch": torch.__version__}
    save_file(tensors, folder / "expected.safetensors", {"oracle": json.dumps(about)})

    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert size <= LIMIT, f"{name}: {size} bytes"
    print(f"{name:18} {size / 1000:6.0f} kB  largest logit {logits.abs().max():5.1f}  {stages[0]}")


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "src/models/fixtures"
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    for name in sys.argv[2:] or VARIANTS:
        make(name, out)
    size = sum(file.stat().st_size for file in out.glob("*/*"))
    assert size <= LIMIT_ALL, f"{size} bytes in all"
    print(f"{size / 1e6:.2f} MB in all")


if __name__ == "__main__":
    main()
