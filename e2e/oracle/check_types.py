"""Holds the types of GGUF to the weights that a run measured, bit by bit: a float32 model, quantized by the command line into GGUF and plain
weights at once; gguf-py (0.19.0), the package of llama.cpp, dequantizes the first. MXFP4 and NVFP4 are written for compressed-tensors (0.20.1)
too, which unpacks them.

    .cache/oracle/bin/pip install -r e2e/oracle/requirements.txt gguf==0.19.0 compressed-tensors==0.20.1
    .cache/oracle/bin/python e2e/oracle/check_types.py FOLDER OUT [TYPE ...]

FOLDER: a LLaMA with float32 weights and tokenizer.json, tied or not; embedding and head are compared like the linears. Rows that 256 does not
divide are in the types that llama.cpp takes for them. TYPE: one of --type, or with one for the embedding after it, as q4_k:q8_0.
"""
import subprocess
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors.numpy import load_file
from transformers import AutoConfig

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "public/demo"
TYPES = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4", "nvfp4", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k",
         "q4_k:q8_0", "q2_k:iq4_nl"]
FP4 = ("mxfp4", "nvfp4")
PARTS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
ENDS = {"token_embd": "model.embed_tokens", "output": "lm_head"}


def check(model, out, kind):
    kind, _, embedding = kind.partition(":")
    command = ["npm", "run", "--silent", "quantize", "--", "--model", model, "--dataset", DEMO / "calibration.txt", "--eval",
               DEMO / "evaluation.txt", "--nsamples", "2", "--seqlen", "64", "--eval-samples", "1", "--quantization-method", "gptq",
               "--type", kind, "--format", "gguf,dense" + (",compressed-tensors" if kind in FP4 else ""), "--save", out, "--overwrite", "--json"]
    command += ["--embedding-type", embedding] if embedding else []
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    config = AutoConfig.from_pretrained(model)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    plain = {name: values for file in (out / "dense").glob("*.safetensors") for name, values in load_file(file).items()}
    count, different, types, ends = 0, 0, set(), set()
    tensors = GGUFReader(next((out / "gguf").glob("*.gguf"))).tensors
    # llama.cpp multiplies what a linear of NVFP4 puts out by its scale.
    scales = {tensor.name.removesuffix(".scale"): tensor.data[0] for tensor in tensors if tensor.name.endswith(".scale")}
    for tensor in tensors:
        first, block, part, *_ = [*tensor.name.split("."), "", ""]
        if not tensor.name.endswith(".weight") or (first not in ENDS and part not in PARTS):
            continue
        wanted = plain[f"{ENDS[first]}.weight" if first in ENDS else f"model.layers.{block}.{PARTS[part]}.weight"]
        if part in heads:
            # llama.cpp has the two halves of each head in turns.
            wanted = wanted.reshape(heads[part], 2, -1, wanted.shape[1]).swapaxes(1, 2).reshape(wanted.shape)
        got = dequantize(tensor.data, tensor.tensor_type).reshape(wanted.shape) * scales.get(tensor.name.removesuffix(".weight"), 1)
        count += wanted.size
        different += int((got != wanted).sum())
        (ends if first in ENDS else types).add(tensor.tensor_type.name)
    print(f"{kind}: {count} weights in {', '.join(sorted(types))}, embedding and head in {', '.join(sorted(ends))}, {different} different", flush=True)
    assert count and not different
    if kind in FP4:
        check_compressed(out, plain, kind)


def check_compressed(out, plain, kind):
    from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
    from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
    from compressed_tensors.quantization import QuantizationScheme
    from compressed_tensors.quantization.quant_scheme import MXFP4A16, NVFP4A16
    from safetensors.torch import load_file as load_torch

    scheme = QuantizationScheme(targets=["Linear"], **(NVFP4A16 if kind == "nvfp4" else MXFP4A16))
    compressor = NVFP4PackedCompressor if kind == "nvfp4" else MXFP4PackedCompressor
    packed = load_torch(next((out / "compressed-tensors").glob("*.safetensors")))
    names = [name.removesuffix(".weight_packed") for name in packed if name.endswith(".weight_packed")]
    for name in names:
        state = {part: packed[f"{name}.{part}"] for part in compressor.compression_param_names(scheme) if f"{name}.{part}" in packed}
        got = compressor.decompress(state, scheme)["weight"].float().numpy()
        assert (got == plain[f"{name}.weight"]).all(), name
    assert names
    print(f"compressed-tensors: {len(names)} linears, equal", flush=True)


for kind in sys.argv[3:] or TYPES:
    check(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve() / kind.replace(":", "-"), kind)
