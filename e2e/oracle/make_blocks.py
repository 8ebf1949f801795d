"""Random super-blocks of ggml's K types, and what they stand for by ggml's own dequantizers (libggml-base of any llama.cpp build).

    python3 -m venv .cache/oracle && .cache/oracle/bin/pip install numpy==2.4.6
    .cache/oracle/bin/python e2e/oracle/make_blocks.py node_modules/@node-llama-cpp/linux-x64/bins/*/libggml-base.so

Writes src/io/formats/fixtures/super-blocks.json. The codes are found from ggml's weights, and W = d s code - m t (or d s (code - middle)) is
held to them bit by bit, in float32. The largest s and t of a block are the largest there are, so that only one d and m fit.
"""
import ctypes
import json
import sys
from pathlib import Path

import numpy as np

LIB = ctypes.CDLL(sys.argv[1])
OUT = Path(__file__).parents[2] / "src/io/formats/fixtures/super-blocks.json"
BYTES = {"q2_k": 84, "q3_k": 110, "q4_k": 144, "q5_k": 176, "q6_k": 210}
BLOCKS = 2


def weights(kind, raw):
    out = np.zeros((raw.size // BYTES[kind]) * 256, np.float32)
    function = getattr(LIB, "dequantize_row_" + kind[:-1] + "K")
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    function(raw.ctypes.data, out.ctypes.data, out.size)
    return out.reshape(-1, 256)


def halves(random):
    """Normal float16 numbers with an odd last bit, as bytes."""
    return (random.integers(0x1000, 0x3000, BLOCKS).astype("<u2") | 1).view(np.uint8).reshape(BLOCKS, 2)


def six(blocks):
    """s and t of Q4_K and Q5_K from their 12 bytes."""
    a = blocks.astype(int)
    low, low_t, high = a[:, :4], a[:, 4:8], a[:, 8:]
    return (np.hstack([low & 63, (high & 15) | (low >> 6) << 4]), np.hstack([low_t & 63, (high >> 4) | (low_t >> 6) << 4]))


def block(kind, random):
    raw = random.integers(0, 256, (BLOCKS, BYTES[kind]), dtype=np.uint8)
    zero = np.zeros((BLOCKS, 16), int)
    if kind == "q2_k":
        raw[:, 80:82], raw[:, 82:84] = halves(random), halves(random)
        raw[:, :16] |= 1
        raw[:, 3] = 255
        return raw, raw[:, 80:82], raw[:, 82:84], raw[:, :16] & 15, raw[:, :16] >> 4, 0
    if kind == "q3_k":
        raw[:, 108:110] = halves(random)
        # s = 0 would hide codes: the last bit of each is set. The first s is 0 - 32, the least.
        raw[:, 96:104] |= 17
        raw[:, 96] &= 240
        raw[:, 104] &= 252
        a = raw.astype(int)
        s = np.stack([((a[:, 96 + k % 8] >> 4 * (k // 8)) & 15 | ((a[:, 104 + k % 4] >> 2 * (k // 4)) & 3) << 4) - 32 for k in range(16)], 1)
        return raw, raw[:, 108:110], None, s, zero, 4
    if kind in ("q4_k", "q5_k"):
        raw[:, 0:2], raw[:, 2:4] = halves(random), halves(random)
        raw[:, 4:8] |= 1
        raw[:, 12:16] |= 1
        raw[:, 4], raw[:, 9] = 255, 255
        raw[:, 12] |= 15
        raw[:, 13] |= 240
        s, t = six(raw[:, 4:16])
        return raw, raw[:, 0:2], raw[:, 2:4], s, t, 0
    raw[:, 208:210] = halves(random)
    raw[:, 192:208] |= 1
    raw[:, 192] = 128
    return raw, raw[:, 208:210], None, raw[:, 192:208].view(np.int8).astype(int), zero, 32


def main():
    found = {}
    for seed, kind in enumerate(BYTES):
        raw, d, m, s, t, middle = block(kind, np.random.default_rng(seed))
        value = lambda bytes: np.ascontiguousarray(bytes).view("<f2").astype(np.float32)
        d, m = value(d), value(m) if m is not None else np.zeros((BLOCKS, 1), np.float32)
        size = 256 // s.shape[1]
        x = np.repeat(d * s.astype(np.float32), size, 1)
        y = np.repeat(m * t.astype(np.float32), size, 1) + np.float32(middle) * x
        wanted = weights(kind, raw)
        codes = np.rint((wanted + y) / x).astype(int)
        assert codes.min() >= 0 and (x * codes.astype(np.float32) - y == wanted).all(), kind
        assert codes.max() == {"q2_k": 3, "q3_k": 7, "q4_k": 15, "q5_k": 31, "q6_k": 63}[kind], (kind, codes.max())
        found[kind] = {"bytes": raw.tobytes().hex(), "codes": codes.astype(np.uint8).tobytes().hex(), "d": d.ravel().tolist(), "m": m.ravel().tolist(),
                       "s": s.astype(int).tolist(), "t": t.astype(int).tolist()}
    OUT.write_text(json.dumps(found) + "\n")


main()
