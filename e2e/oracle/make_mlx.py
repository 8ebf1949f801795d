"""Records how the mlx package packs codes and dequantizes them: src/io/formats/fixtures/mlx.safetensors.

    pip install 'mlx[cpu]==0.32.4' safetensors numpy
    python3 e2e/oracle/make_mlx.py

For each width and group size: words that mx.quantize packed, the codes that mx.dequantize finds in them (with scales of 1), and the
weights that it makes of them with float16 scales and minima of ours.
"""
from pathlib import Path

import mlx.core as mx
import numpy as np
from safetensors.numpy import save_file

OUT = Path(__file__).parents[2] / "src/io/formats/fixtures/mlx.safetensors"
Q, P = 3, 128


def main():
    mx.set_default_device(mx.cpu)
    rng = np.random.default_rng(7)
    tensors = {}
    for bits in (2, 3, 4, 8, 5):
        for group in (32, 64, 128):
            words, scales, biases = mx.quantize(mx.array(rng.standard_normal((Q, P)), mx.float32), group, bits)
            codes = mx.dequantize(words, mx.ones_like(scales), mx.zeros_like(biases), group, bits)
            zeros = rng.integers(0, 2**bits, scales.shape)
            scales = rng.uniform(0.01, 0.2, scales.shape).astype(np.float16)
            biases = (-scales.astype(np.float32) * zeros.astype(np.float32)).astype(np.float16)
            weights = mx.dequantize(words, mx.array(scales, mx.float32), mx.array(biases, mx.float32), group, bits)
            record = {"words": words, "codes": np.array(codes).astype(np.uint8), "zeros": zeros.astype(np.uint8), "scales": scales,
                      "biases": biases, "weights": weights}
            tensors |= {f"{bits}.{group}.{name}": np.ascontiguousarray(np.array(value)) for name, value in record.items()}
    save_file(tensors, OUT, {"mlx": mx.__version__})


if __name__ == "__main__":
    main()
