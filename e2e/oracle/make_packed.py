"""Packs random linears with the packages whose layouts the workbench writes, and unpacks them with the same packages.

    python3 e2e/oracle/make_packed.py

Each case: the tensors of a linear as its package stores them, under the case's name, and the weights that its package makes of
them again (`expected`, [out, in], float32). compressed-tensors packs and unpacks pack-quantized; AWQ's gemm layout is that of
GPTQModel, which took it from AutoAWQ. The cases are in packed.json. It needs requirements-packed.txt beside the others.
"""
import json
from pathlib import Path

import torch
from compressed_tensors.compressors import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm, pack_awq
from safetensors.torch import save_file

FIXTURES = Path(__file__).parents[2] / "src/io/formats/fixtures"
# layout, bits, q, p, group size (-1: the row), symmetric. Rows of 44 and 20 inputs fill no words at some width.
CASES = [
    ("compressed-tensors", bits, q, p, group, symmetric)
    for bits in (2, 3, 4, 8)
    for q, p, group in ((16, 64, 32), (12, 44, -1), (32, 96, 32))
    for symmetric in (True, False)
] + [("compressed-tensors", 3, 21, 20, 4, False)]
CASES += [("awq", 4, q, p, group, False) for q, p, group in ((8, 64, 32), (24, 64, 64), (16, 48, -1))]


def grid(generator, bits, q, p, group, symmetric):
    """Codes [q, p], scales and zero points [q, groups], the scales float16 numbers."""
    groups = 1 if group == -1 else p // group
    codes = torch.randint(2**bits, (q, p), generator=generator)
    scales = (torch.rand(q, groups, generator=generator) / 8 + 0.01).half().float()
    zeros = torch.full((q, groups), 2 ** (bits - 1)) if symmetric else torch.randint(2**bits, (q, groups), generator=generator)
    return codes, scales, zeros


def compressed(bits, group, symmetric, codes, scales, zeros):
    offset = 2 ** (bits - 1)
    args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="channel" if group == -1 else "group",
                            group_size=None if group == -1 else group)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    wide = lambda per_group: per_group.repeat_interleave(codes.shape[1] // scales.shape[1], 1)
    state = {"weight": wide(scales) * (codes - wide(zeros)), "weight_scale": scales}
    if not symmetric:
        state["weight_zero_point"] = (zeros - offset).to(torch.int8)
    packed = PackedQuantizationCompressor.compress(state, scheme)
    expected = PackedQuantizationCompressor.decompress(packed, scheme)["weight"]
    assert torch.equal(expected, state["weight"])
    packed["weight_scale"] = scales.half()
    return packed, expected


def gemm(group, codes, scales, zeros):
    qweight, qzeros = pack_awq(codes.T.contiguous(), zeros.T.contiguous(), 4)
    tensors = {"qweight": qweight, "qzeros": qzeros, "scales": scales.T.half()}
    size = codes.shape[1] if group == -1 else group
    expected = dequantize_gemm(qweight, qzeros, scales.T.contiguous(), 4, size).T
    return tensors, expected


def main():
    generator = torch.Generator().manual_seed(0)
    tensors, cases = {}, []
    for layout, bits, q, p, group, symmetric in CASES:
        drawn = grid(generator, bits, q, p, group, symmetric)
        packed, expected = compressed(bits, group, symmetric, *drawn) if layout != "awq" else gemm(group, *drawn)
        name = f"{layout}-{bits}-{q}x{p}-{group}-{'sym' if symmetric else 'asym'}"
        cases.append({"name": name, "layout": layout, "bits": bits, "q": q, "p": p, "groupSize": group, "symmetric": symmetric})
        for part, tensor in {**packed, "expected": expected.float()}.items():
            tensors[f"{name}.{part}"] = tensor.contiguous()
    FIXTURES.mkdir(exist_ok=True)
    save_file(tensors, FIXTURES / "packed.safetensors", metadata={"format": "pt"})
    (FIXTURES / "packed.json").write_text("[\n" + ",\n".join(f"  {json.dumps(case)}" for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
