"""Loads checkpoints in a client and measures them.

    python clients.py CLIENT WORK FOLDER...

WORK/tokens.json holds windows of token ids; WORK/RUN.npy, with RUN the folder's parent, the log-probabilities [windows, length,
vocabulary] that transformers computes from the plain weights of the same run, written by the client `reference`. Prints a line of
JSON for each folder: its perplexity and the largest difference of a log-probability, relative to the largest one, or an error.

A client is a function from a folder and windows to log-probabilities, and a line in CLIENTS.
"""
import json
import os
import sys
from pathlib import Path

import numpy as np


def from_torch(model, windows):
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor(windows), use_cache=False).logits
    return torch.log_softmax(logits.double(), -1).numpy()


def kind_of(folder):
    """The method of a checkpoint, which is float where compressed-tensors has numbers of FP4, and whether it has full rows of 4 bits, which the default kernels on a CPU do not take."""
    config = json.loads((folder / "config.json").read_text()).get("quantization_config", {})
    method = config.get("quant_method")
    if "fp4" in config.get("format", ""):
        method = "float"
    return method, method in ("gptq", "awq") and config["bits"] == 4 and config["group_size"] == -1


def transformers(folder, windows):
    import torch
    from transformers import AutoModelForCausalLM, AwqConfig, GPTQConfig

    gguf = next(folder.glob("*.gguf"), None)
    if gguf:
        return from_torch(AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf.name, dtype=torch.float32).eval(), windows)
    method, wide = kind_of(folder)
    # As the note of such a checkpoint says.
    named = {"gptq": GPTQConfig(bits=4, backend="gptq_torch"), "awq": AwqConfig(bits=4, group_size=-1, backend="torch_awq")}
    more = {"quantization_config": named[method]} if wide else {}
    # AWQ's kernels take 16 bits only, and compressed-tensors unpacks FP4 to bfloat16.
    dtype = torch.bfloat16 if method in ("awq", "float") else torch.float32
    return from_torch(AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **more).eval(), windows)


def gptqmodel(folder, windows):
    from gptqmodel import BACKEND, GPTQModel

    method, wide = kind_of(folder)
    backend = {"gptq": BACKEND.GPTQ_TORCH, "awq": BACKEND.AWQ_TORCH}[method] if wide else BACKEND.AUTO
    model = GPTQModel.load(str(folder), device="cpu", backend=backend)
    return from_torch(model.model.eval(), windows)


def log_softmax(logits):
    """Log-probabilities of logits as an array, [..., vocabulary]."""
    logits = logits.astype(np.float64)
    largest = logits.max(-1, keepdims=True)
    return logits - largest - np.log(np.exp(logits - largest).sum(-1, keepdims=True))


def onnxruntime(folder, windows):
    import onnxruntime as ort

    session = ort.InferenceSession(next((folder / "onnx").glob("*.onnx")), providers=["CPUExecutionProvider"])
    ids = np.array(windows, np.int64)
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.broadcast_to(np.arange(ids.shape[1]), ids.shape)}
    for one in session.get_inputs():
        if one.name.startswith("past_key_values."):
            half = np.float16 if "float16" in one.type else np.float32
            feed[one.name] = np.zeros((len(ids), one.shape[1], 0, one.shape[3]), half)
        elif one.name == "num_logits_to_keep":
            feed[one.name] = np.array(0, np.int64)
    return log_softmax(session.run(["logits"], feed)[0])


def mlx(folder, windows):
    import mlx.core as mx
    from mlx_lm import load

    model, _ = load(str(folder))
    return log_softmax(np.array(model(mx.array(windows)).astype(mx.float32)))


def vllm(folder, windows):
    os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_LOGGING_LEVEL="ERROR")
    from vllm import LLM, SamplingParams

    # Its kernels for packed weights take 16 bits only: then what config.json declares.
    dtype = "auto" if kind_of(folder)[0] else "float32"
    model = LLM(str(folder), enforce_eager=True, max_model_len=len(windows[0]) + 1, max_logprobs=-1, dtype=dtype)
    outputs = model.generate([{"prompt_token_ids": window} for window in windows], SamplingParams(prompt_logprobs=-1, max_tokens=1, detokenize=False), use_tqdm=False)
    vocabulary = len(outputs[0].prompt_logprobs[1])
    # Nothing is said of what follows the last token: those rows are not compared.
    found = np.full((len(windows), len(windows[0]), vocabulary), np.nan)
    for at, output in enumerate(outputs):
        for position, row in enumerate(output.prompt_logprobs[1:]):
            for token, one in row.items():
                found[at, position, token] = one.logprob
    return found


CLIENTS = {
    "reference": transformers,
    "transformers": transformers,
    "gptqmodel": gptqmodel,
    "onnxruntime": onnxruntime,
    "mlx-lm": mlx,
    "vllm": vllm,
}


def perplexity(found, windows):
    tokens = np.array(windows)[:, 1:, None]
    return float(np.exp(-np.take_along_axis(found[:, :-1], tokens, -1).mean()))


def measure(client, work, folder, windows):
    found = CLIENTS[client](folder, windows)
    expected = work / f"{folder.parent.name}.npy"
    if client == "reference":
        np.save(expected, found)
    if not expected.exists():  # a checkpoint of another program
        return {"perplexity": perplexity(found, windows)}
    reference = np.load(expected)[:, :-1]
    away = np.abs(found[:, :-1] - reference).max() / np.abs(reference).max()
    return {"perplexity": perplexity(found, windows), "difference": float(away)}


def main():
    client, work, *folders = sys.argv[1:]
    places = [(folder, Path(folder).resolve()) for folder in folders]
    # GPTQModel leaves its logs where it runs.
    os.chdir(work)
    windows = json.loads(Path("tokens.json").read_text())
    # Clients print what they like; the lines here go where nothing else does.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for folder, place in places:
        try:
            said = measure(client, Path.cwd(), place, windows)
        except Exception as error:  # whatever a client throws is its refusal
            said = {"error": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps({"folder": folder, **said}), file=lines, flush=True)


if __name__ == "__main__":
    main()
