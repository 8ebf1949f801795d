"""Quantizes models with other programs, and measures what everybody's weights do to a model.

    python peers.py MAKER WORK

WORK/tasks.json lists the tasks; a maker takes those that name it. Each has `source` (a model folder), `windows` (a file with windows of
token ids), `recipe`, `bits`, `group` (-1 is a full row) and `out`: a safetensors file for the dequantized float32 weights of the linears,
by module path. The maker `measure` takes tasks with `source`, `windows`, `weights` (such a file, or a folder of plain weights) and
`out`, and computes in float32. Prints a line of JSON for each task: its out, and figures or an error.

A maker is a function from a task to a dictionary of weights, and a line in MAKERS.
"""
import ctypes
import json
import os
import sys
from functools import cache
from pathlib import Path

import numpy as np

# Before GPTQModel is imported: otherwise it asks for the cores that it leaves to others, and finds none on a small machine.
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")

SEED = 0
# One of llama.cpp's own libraries, and its names of types: their numbers, weights and bytes in a block (ggml.h, ggml-common.h).
GGML = os.environ.get("GGML_BASE")
TYPES = {"q4_0": (2, 32, 18), "q4_1": (3, 32, 20), "q5_0": (6, 32, 22), "q8_0": (8, 32, 34), "iq4_nl": (20, 32, 18), "q2_k": (10, 256, 84), "q3_k": (11, 256, 110),
         "q4_k": (12, 256, 144), "q5_k": (13, 256, 176), "q6_k": (14, 256, 210), "mxfp4": (39, 32, 17), "nvfp4": (40, 64, 36)}


def windows(task):
    return json.loads(Path(task["windows"]).read_text())


def load(source):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()


def linears(model):
    """The linears of the blocks, by module path."""
    import torch

    return {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and ".layers." in name}


def gptqmodel(task):
    """GPTQ with act-order, static groups and its search by error (mse 2.4), or GPTAQ with the same search."""
    from gptqmodel import BACKEND, GPTQModel
    from gptqmodel.quantization.config import GPTAQConfig, GPTQConfig

    more = {"gptq": {"static_groups": True}, "gptaq": {"gptaq": GPTAQConfig()}}[task["recipe"]]
    config = GPTQConfig(bits=task["bits"], group_size=task["group"], sym=False, format="gptq_v2", desc_act=True, act_group_aware=False, mse=2.4, **more)
    model = GPTQModel.load(task["source"], config, device="cpu")
    model.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows(task)], batch_size=1)
    folder = task["out"] + ".folder"
    model.save(folder)
    packed = GPTQModel.load(folder, device="cpu", backend=BACKEND.GPTQ_TORCH).model
    found = {name: module for name, module in packed.named_modules() if hasattr(module, "qweight")}
    return {name: module.dequantize_weight().T.float().contiguous() for name, module in found.items()}


def compressor(task):
    """GPTQ of llm-compressor with the observer that searches by error."""
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers import gptq, quantization

    modifier = next(place.GPTQModifier for place in (quantization, gptq) if hasattr(place, "GPTQModifier"))
    strategy = {"strategy": "channel"} if task["group"] == -1 else {"strategy": "group", "group_size": task["group"]}
    weights = {"num_bits": task["bits"], "type": "int", "symmetric": False, "observer": "mse", **strategy}
    model = load(task["source"])
    ids = windows(task)
    data = Dataset.from_dict({"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]})
    recipe = modifier(config_groups={"group_0": {"targets": ["Linear"], "weights": weights}}, ignore=["lm_head"])
    oneshot(model=model, recipe=recipe, dataset=data, num_calibration_samples=len(ids), max_seq_length=len(ids[0]))
    # The weights in the modules are those on the grid.
    return {name: module.weight.detach() for name, module in linears(model).items()}


def autoround(task):
    """Signed gradient steps, 200 of them; `neuqi` starts from its search of scales and zero points."""
    import torch
    from auto_round import AutoRound

    ids = windows(task)
    rounder = AutoRound(task["source"], scheme="W4A16", bits=task["bits"], group_size=task["group"], sym=False, iters=200, nsamples=len(ids),
                        seqlen=len(ids[0]), dataset=[torch.tensor([row]) for row in ids], device_map="cpu", seed=SEED,
                        enable_neuqi=task["recipe"] == "neuqi")
    model, _ = rounder.quantize()
    return {name: module.weight.detach().float() for name, module in linears(model).items()}


def hqq(task):
    """Half-quadratic quantization, which looks at no tokens; its zero points are real numbers."""
    import torch
    from hqq.core.quantize import Quantizer

    def rounded(weight):
        size = weight.shape[1] if task["group"] == -1 else task["group"]
        codes, meta = Quantizer.quantize(weight, nbits=task["bits"], group_size=size, axis=1, device="cpu", compute_dtype=torch.float32, bitpack=False)
        return Quantizer.dequantize(codes, {**meta, "compute_dtype": torch.float32}).reshape(weight.shape)

    return {name: rounded(module.weight.detach().clone()) for name, module in linears(load(task["source"])).items()}


@cache
def ggml():
    library = ctypes.CDLL(GGML, mode=ctypes.RTLD_GLOBAL)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    return library


def llama(task):
    """llama.cpp's quantizer in a type of GGUF, with an importance matrix (the mean square of each input) for the recipe `imatrix`."""
    import torch
    from gguf import GGMLQuantizationType, dequantize

    number, block, size = TYPES[task["type"]]
    model = load(task["source"])
    squares = {}

    def observe(name):
        return lambda module, inputs: squares.__setitem__(name, squares.get(name, 0) + (inputs[0].double() ** 2).sum((0, 1)))

    hooks = [module.register_forward_pre_hook(observe(name)) for name, module in linears(model).items()]
    with torch.no_grad():
        for row in windows(task):
            model(input_ids=torch.tensor([row]), use_cache=False)
    for hook in hooks:
        hook.remove()

    def rounded(name, weight):
        rows, columns = weight.shape
        if columns % block:
            raise ValueError(f"{name} has rows of {columns}, which {task['type']} does not divide")
        values = np.ascontiguousarray(weight.numpy())
        importance = squares[name].float().numpy() if task["recipe"] == "imatrix" else None
        packed = np.zeros(rows * columns // block * size, np.uint8)
        ggml().ggml_quantize_chunk(number, values.ctypes.data, packed.ctypes.data, 0, rows, columns, importance.ctypes.data if importance is not None else None)
        return torch.from_numpy(dequantize(packed.reshape(rows, -1), GGMLQuantizationType(number)).astype(np.float32))

    return {name: rounded(name, module.weight.detach()) for name, module in linears(model).items()}


@cache
def reference(source, file):
    """The unquantized model's log-probabilities on the windows of a file, [windows, tokens, vocabulary]."""
    return logs(load(source), json.loads(Path(file).read_text()))


def logs(model, ids):
    import torch

    with torch.no_grad():
        return torch.stack([torch.log_softmax(model(input_ids=torch.tensor([row]), use_cache=False).logits[0, :-1].double(), -1) for row in ids])


def measure(task):
    """KL of the unquantized model from the one with these weights, with the standard error over windows, and perplexity."""
    import torch
    from safetensors.torch import load_file

    place = Path(task["weights"])
    weights = {name: value for file in ([place] if place.is_file() else place.glob("*.safetensors")) for name, value in load_file(file).items()}
    model = load(task["source"])
    bare = {name.removesuffix(".weight"): value.float() for name, value in weights.items()}
    found = linears(model)
    missing = [name for name in found if name not in bare]
    if missing:
        raise ValueError(f"no weights for {missing[:3]}")
    changed = 0
    for name, module in found.items():
        changed += int((module.weight.detach() != bare[name]).sum())
        module.weight.data.copy_(bare[name])
    if not changed:
        raise ValueError("the weights are those of the unquantized model")
    ids = json.loads(Path(task["windows"]).read_text())
    full, rounded = reference(task["source"], task["windows"]), logs(model, ids)
    divergence = (full.exp() * (full - rounded)).sum(-1).mean(-1)
    following = torch.tensor(ids)[:, 1:, None]
    loss = -rounded.gather(-1, following).mean()
    return {"kl": divergence.mean().item(), "error": None, "standardError": (divergence.std() / len(ids) ** 0.5).item(), "perplexity": loss.exp().item()}


MAKERS = {"gptqmodel": gptqmodel, "llm-compressor": compressor, "auto-round": autoround, "hqq": hqq, "llama.cpp": llama}


def main():
    maker, work = sys.argv[1:]
    # GPTQModel writes a log into the folder that it runs in.
    os.chdir(work)
    # Programs print what they like; the lines here go where nothing else does.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for task in json.loads(Path("tasks.json").read_text()):
        if task["maker"] != maker:
            continue
        said = {"out": task["out"]}
        try:
            if maker == "measure":
                said |= measure(task)
            else:
                from safetensors.torch import save_file

                weights = MAKERS[maker](task)
                save_file({name: value.contiguous().clone() for name, value in weights.items()}, task["out"])
        except Exception as error:
            said["error"] = f"{type(error).__name__}: {error}".split("\n")[0]
        print(json.dumps(said), file=lines, flush=True)


main()
