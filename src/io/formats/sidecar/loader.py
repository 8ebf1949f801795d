"""Reads a checkpoint of codes and outliers (FORMAT.md) as float32 arrays. Needs numpy and safetensors.

    weights = load("FOLDER")                                  # {"model.layers.0.self_attn.q_proj.weight": array, ...}
    model.load_state_dict(load("FOLDER", "pt"), strict=False)  # torch; a head that is tied to the token table has no tensor

`python loader.py FOLDER` prints what each quantized linear takes.
"""
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file


def linear(path):
    """The weight [out, in] of one file in quantized/, float32."""
    t = load_file(path)
    q, p, bits, group = (int(n) for n in t["layout"])
    stream = np.unpackbits(t["codes"].astype("<u4", copy=False).view(np.uint8), axis=1, bitorder="little")
    codes = stream[:, : p * bits].reshape(q, p, bits) @ (1 << np.arange(bits)).astype(np.float32)
    index = t["group_index"] if "group_index" in t else np.arange(p) // group
    scales, zeros = (t[name].astype(np.float32)[index].T for name in ("scales", "zeros"))
    weight = scales * (codes - zeros)
    if "outlier_values" in t:
        rows = np.repeat(np.arange(q), np.diff(t["outlier_starts"].astype(np.int64)))
        weight[rows, t["outlier_columns"].astype(np.int64)] += t["outlier_values"].astype(np.float32)
    return weight


def load(folder, framework="np"):
    """Every tensor by name. Of a bfloat16 model numpy cannot read what is not quantized: take framework="pt"."""
    found = {}
    for path in sorted(Path(folder).glob("model*.safetensors")):
        with safe_open(path, framework) as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}
    for path in sorted(Path(folder).glob("quantized/*.safetensors")):
        weight = linear(path)
        if framework == "pt":
            import torch

            weight = torch.from_numpy(weight)
        found[path.name.removesuffix(".safetensors") + ".weight"] = weight
    return found


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("quantized/*.safetensors")):
        weight = linear(path)
        print(f"{path.stem}  {list(weight.shape)}  {8 * path.stat().st_size / weight.size:.2f} bits per weight")
