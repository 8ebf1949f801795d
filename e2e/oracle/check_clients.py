"""Which formats of which families transformers and llama.cpp really load, on the processor.

    python3 e2e/oracle/check_clients.py [--write] [--format FORMAT] [VARIANT ...]

Each variant of make_fixtures.py, as wide as kernels want it (multiples of 32), is quantized in the terminal by RTN (4 bits, groups of 32,
symmetric) into every format of ROWS. transformers loads each folder, with gptqmodel, optimum and compressed-tensors where they are
needed, and measures it; a GGUF file is measured by the llama.cpp of node-llama-cpp. The table holds how far its perplexity is from the workbench's own, relatively, or what it says instead.
`--write` puts the table into README.md. Needs `pip install gptqmodel==7.7.0 optimum==2.3.0 compressed-tensors` beside requirements.txt.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("LOGBAR_LEVEL", "ERROR")

import torch
import transformers
from tokenizers import Tokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from check_exports import DEMO, LENGTH, ROOT, WINDOWS, perplexity, quantize
from make_fixtures import VARIANTS, class_of, randomize

FORMATS = ["gptq", "compressed-tensors", "awq", "dense", "gguf"]
WIDE = dict(hidden_size=64, intermediate_size=128, num_attention_heads=2, num_key_value_heads=1, head_dim=32)
# One of each family, and one of each kind of repository.
ROWS = ["llama-3.2", "mistral", "qwen2", "qwen3", "gemma-2", "gemma-3", "ministral-3", "smollm3", "olmo2", "olmo3", "phi-3", "phi-4-mini",
        "granite", "qwen3.5", "gemma-4", "gemma-4-e2b", "mistral3", "gemma-3-vision", "smolvlm", "llava", "internvl", "idefics3", "qwen3.5-vision"]


def widened(config):
    """The same configuration with sizes that kernels want."""
    fields = config.to_dict()
    text = fields.get("text_config", fields)
    text.update({key: value for key, value in WIDE.items() if key in text or key != "head_dim"})
    if "linear_num_value_heads" in text:
        text.update(linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=32, linear_value_head_dim=32)
    for own in (text.get("per_layer_config") or {}).values():
        own.update(head_dim=64)
    if text.get("hidden_size_per_layer_input"):
        text.update(hidden_size_per_layer_input=32)
    ropes = text["rope_parameters"]
    for key in ("short_factor", "long_factor"):
        if key in ropes:
            # The first of the factors, then the last, for as many pairs as rotate now.
            pairs = int(WIDE["head_dim"] * ropes.get("partial_rotary_factor", 1)) // 2
            ropes[key] = [ropes[key][0]] * (pairs - pairs // 2) + [ropes[key][-1]] * (pairs // 2)
    return CONFIG_MAPPING[fields["model_type"]].from_dict(fields)


def measured(folder, ids):
    config = transformers.AutoConfig.from_pretrained(folder)
    # Kernels of packed weights compute in what config.json declares; plain weights are compared in float32.
    dtype = "auto" if getattr(config, "quantization_config", None) else torch.float32
    model = class_of(config).from_pretrained(folder, dtype=dtype, device_map="cpu", attn_implementation="eager").eval()
    return perplexity(model, ids)


def by_llama_cpp(folder, ids):
    (folder / "ids.json").write_text(json.dumps(ids.tolist()))
    [file] = folder.glob("*.gguf")
    command = ["npm", "run", "--silent", "gguf-perplexity", "--", str(file), str(folder / "ids.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)["perplexity"]


def said(error):
    """What it says: the command line ends with a sentence and a hint, and libraries begin with theirs."""
    lines = str(error).strip().splitlines() or [""]
    return lines[max(0, len(lines) - 2)][:160] if isinstance(error, SystemExit) else f"{type(error).__name__}: {lines[0][:80]}"


def row(name, place, formats):
    config = widened(VARIANTS[name][0])
    torch.manual_seed(0)
    model = class_of(config).from_config(config)
    randomize(model, 0)
    model.tie_weights()
    source = place / "model"
    model.to(torch.float16).save_pretrained(source)
    shutil.copy(DEMO / "tokenizer.json", source)
    tokens = Tokenizer.from_file(str(source / "tokenizer.json")).encode((DEMO / "evaluation.txt").read_text()).ids
    ids = torch.tensor(tokens[: WINDOWS * LENGTH]).view(WINDOWS, LENGTH)
    cells = []
    for format in formats:
        out = place / "out" / format
        try:
            ours = quantize(source, out, ["rtn", "--wbits", "4", "--groupsize", "32", "--sym", "--format", format])["perplexity"]
            theirs = by_llama_cpp(out, ids) if format == "gguf" else measured(out, ids)
            cells.append(f"{theirs / ours - 1:+.0e}")
        except (Exception, SystemExit) as error:
            cells.append(f"no: {said(error)}")
        print(name, format, cells[-1], flush=True)
    return [name, *cells]


def main():
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    arguments = sys.argv[1:]
    formats = FORMATS
    if "--format" in arguments:
        at = arguments.index("--format")
        formats = [arguments[at + 1]]
        del arguments[at : at + 2]
    names = [argument for argument in arguments if not argument.startswith("--")]
    rows = []
    for name in names or ROWS:
        with tempfile.TemporaryDirectory() as place:
            rows.append(row(name, Path(place), formats))
    lines = [["variant", *formats], ["---"] * (len(formats) + 1), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    print(table)
    if "--write" in arguments:
        readme = Path(__file__).parent / "README.md"
        before, _, rest = readme.read_text().partition("<!-- clients -->\n")
        readme.write_text(f"{before}<!-- clients -->\n{table}\n<!-- end of clients -->{rest.partition('<!-- end of clients -->')[2]}")


if __name__ == "__main__":
    main()
