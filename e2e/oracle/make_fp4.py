"""Packs random linears as FP4 with compressed-tensors, and unpacks them with it.

    python3 e2e/oracle/make_fp4.py

Each case: the tensors of a linear as the package stores them, under the case's name, and the weights that it makes of them again
(`expected`, [out, in], bfloat16). Those of `other` have a global scale that is no power of two, as other writers have it, and negative zeros.
It needs requirements-packed.txt beside the others.
"""
from pathlib import Path

import torch
from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
from compressed_tensors.quantization import QuantizationScheme
from compressed_tensors.quantization.quant_scheme import MXFP4A16, NVFP4A16
from safetensors.torch import save_file

FIXTURES = Path(__file__).parents[2] / "src/io/formats/fixtures"
LEVELS = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def main():
    generator = torch.Generator().manual_seed(0)
    draw = lambda most, *shape: torch.randint(most, shape, generator=generator)
    tensors = {}
    for name, q, p, block, divisor in (("mxfp4", 6, 96, 32, None), ("nvfp4", 8, 80, 16, 2.0**13), ("nvfp4-other", 8, 32, 16, 7211.5)):
        scheme = QuantizationScheme(targets=["Linear"], **(NVFP4A16 if divisor else MXFP4A16))
        compressor = NVFP4PackedCompressor if divisor else MXFP4PackedCompressor
        # Of E4M3 all positive numbers are drawn from, those below its normal ones among them.
        scales = (draw(126, q, p // block) + 1).to(torch.uint8).view(torch.float8_e4m3fn).float() if divisor else 2.0 ** (draw(30, q, p // block) - 20)
        codes = draw(16, q, p)
        values = torch.where(codes >= 8, -LEVELS[codes % 8], LEVELS[codes % 8])
        if not name.endswith("other"):
            values = values + 0.0
        state = {"weight": values * (scales / (divisor or 1)).repeat_interleave(block, 1), "weight_scale": scales}
        if divisor:
            state["weight_global_scale"] = torch.tensor([divisor])
        packed = compressor.compress(state, scheme)
        expected = compressor.decompress(packed, scheme)["weight"]
        assert name.endswith("other") or torch.equal(expected.float(), state["weight"])
        for part, tensor in {**packed, "expected": expected}.items():
            tensors[f"{name}.{part}"] = tensor.contiguous()
    save_file(tensors, FIXTURES / "fp4.safetensors", metadata={"format": "pt"})
    print({name: (tensor.dtype, list(tensor.shape)) for name, tensor in tensors.items()})


if __name__ == "__main__":
    main()
