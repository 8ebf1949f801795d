"""Makes checkpoints of a model with other programs.

    python foreign.py MAKER WORK RECIPE...

WORK/source holds the model, WORK/calibration.json windows of token ids; a checkpoint goes into WORK/foreign/RECIPE. Prints a line of
JSON for each: its recipe, and the folder with its config.json or an error.

A recipe is a function from a source and a folder, and its name in RECIPES.
"""
import json
import os
import sys
from functools import partial
from pathlib import Path

# Before GPTQModel is imported: otherwise it asks for the cores that it leaves to others, and finds none on a small machine.
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")

SEED = 0


def windows():
    return json.loads(Path("calibration.json").read_text())


def untied(source):
    """The same model with a head of its own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = source.parent / "untied"
    if not place.exists():
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16)
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.get_input_embeddings().weight.detach().clone())
        model.save_pretrained(place)
        AutoTokenizer.from_pretrained(source).save_pretrained(place)
    return place


def gptqmodel(source, folder, method="gptq", **options):
    from gptqmodel import GPTQModel
    from gptqmodel.quantization.config import AWQConfig, GPTQConfig

    if options.get("lm_head"):
        source = untied(source)
    config = {"gptq": GPTQConfig, "awq": AWQConfig}[method](**{"bits": 4, "group_size": 32, **options})
    model = GPTQModel.load(str(source), config, device="cpu")
    model.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows()], batch_size=1)
    model.save(str(folder))


def dataset():
    from datasets import Dataset

    ids = windows()
    return Dataset.from_dict({"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]})


def compressor(source, folder, modifier="QuantizationModifier", scheme="W4A16", weights=None, second=None, **options):
    """`weights`: of one config group, beside whose down projections `second` may name others."""
    import torch
    from llmcompressor import oneshot
    from llmcompressor.modifiers import gptq, quantization
    from transformers import AutoModelForCausalLM, AutoTokenizer

    kind = next(getattr(place, modifier) for place in (quantization, gptq) if hasattr(place, modifier))
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16)
    if weights:
        group = {"targets": ["re:.*(q|k|v|o|gate|up)_proj$"] if second else ["Linear"], "weights": weights}
        groups = {"group_0": group, **({"group_1": {"targets": ["re:.*down_proj$"], "weights": second}} if second else {})}
        recipe = kind(config_groups=groups, ignore=["lm_head"], **options)
    else:
        recipe = kind(targets="Linear", scheme=scheme, ignore=["lm_head"], **options)
    oneshot(model=model, recipe=recipe, dataset=dataset(), num_calibration_samples=len(windows()), max_seq_length=len(windows()[0]))
    model.save_pretrained(folder, save_compressed=True)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)


def group(bits, symmetric=True, size=32):
    return {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group", "group_size": size}


def autoround(source, folder, format, scheme=None, **options):
    from auto_round import AutoRound

    rounder = AutoRound(str(source), scheme=scheme or "W4A16", iters=2, nsamples=len(windows()), seqlen=len(windows()[0]), dataset=calibration_text(),
                        device_map="cpu", seed=SEED, **options)
    rounder.quantize_and_save(str(folder), format=format)


def calibration_text():
    """AutoRound takes ids as batches."""
    import torch

    return [torch.tensor([ids]) for ids in windows()]


RECIPES = {
    "gptqmodel": {
        "gptq-4": gptqmodel,
        "gptq-order": partial(gptqmodel, desc_act=True, act_group_aware=False),
        "gptq-3": partial(gptqmodel, bits=3, group_size=-1, act_group_aware=False),
        "gptq-8": partial(gptqmodel, bits=8, group_size=64),
        "gptq-v2": partial(gptqmodel, sym=False, format="gptq_v2"),
        "gptq-same": partial(gptqmodel, dynamic={r"+:.*down_proj.*": {"bits": 4, "group_size": 32}}),
        "gptq-part": partial(gptqmodel, dynamic={r"-:.*layers\.3\..*": {}}),
        "gptq-mixed": partial(gptqmodel, dynamic={r"+:.*down_proj.*": {"bits": 8}}),
        "gptq-head": partial(gptqmodel, lm_head=True),
        "awq-4": partial(gptqmodel, method="awq"),
    },
    "llm-compressor": {
        "W4A16": compressor,
        "W4A16_ASYM": partial(compressor, scheme="W4A16_ASYM"),
        "W8A16": partial(compressor, scheme="W8A16"),
        "ct-order": partial(compressor, modifier="GPTQModifier", weights={**group(4), "actorder": "weight"}),
        "ct-3": partial(compressor, weights=group(3, symmetric=False)),
        "ct-2": partial(compressor, weights=group(2)),
        "ct-mixed": partial(compressor, weights=group(4), second=group(8)),
        "W8A8": partial(compressor, scheme="W8A8"),
        "FP8": partial(compressor, scheme="FP8_DYNAMIC"),
        "NVFP4": partial(compressor, scheme="NVFP4A16"),
    },
    "auto-round": {
        "ar-gptq": partial(autoround, format="auto_gptq"),
        "ar-awq": partial(autoround, format="auto_awq"),
        "ar-ct": partial(autoround, format="llm_compressor"),
        "ar-2": partial(autoround, format="auto_gptq", scheme="W2A16G64"),
        "ar-own": partial(autoround, format="auto_round"),
    },
}


def main():
    maker, work, *names = sys.argv[1:]
    os.chdir(work)
    # Programs print what they like; the lines here go where nothing else does.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in names:
        folder = Path("foreign", name).resolve()
        try:
            RECIPES[maker][name](Path("source").resolve(), folder)
            # Some make a folder inside it.
            said = {"folder": str(next(folder.rglob("config.json")).parent)}
        except Exception as error:  # what a program cannot make is told
            said = {"error": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps({"recipe": name, **said}), file=lines, flush=True)


if __name__ == "__main__":
    main()
