#!/usr/bin/env bash
# llama.cpp v0.4.0 (@node-llama-cpp/linux-x64 3.21.1), NVFP4: the scales of weights are applied to half of a Qwen2, Granite or SmolLM3.
#
# A weight of NVFP4 has one more factor for the whole tensor, which GGUF keeps in a tensor beside it: `blk.0.ffn_up.scale` belongs to
# `blk.0.ffn_up.weight`. llama.cpp reads these for every architecture in one place, so every file loads, without a word, while a
# tensor of a name that it does not know is an error. Applying them is each architecture's own affair. LLaMA and Qwen3 apply all.
# Qwen2, Granite and SmolLM3 apply those of attention, whose code they share, and overlook those of the feed-forward: what comes out
# is neither the model nor the model without scales. In real checkpoints a scale is the largest weight divided by 2688.
#
# Below, one random model per architecture with every scale 1/16, compared with the same weights, multiplied out, in F32. Distances
# are total variations of the next token's probabilities, the mean over 32 positions: 0 is equal, 1 has nothing in common.
# Seen: NVFP4 is 0.003 from F32 in LLaMA and Qwen3, and 0.52 in the other three, where 0 or 1 of the 32 likeliest tokens stay and
# the probabilities are the same to the last digit when the scales of the feed-forward are left out. The files are right otherwise:
# Q8_0 of the same weights is 0.003 from F32 in all five. All this is the same in llama.cpp v0.5.0 (3.22.1). The script fails when
# that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --ignore-scripts @node-llama-cpp/linux-x64@3.21.1
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check gguf==0.19.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize

HIDDEN, INNER, VOCAB, BLOCKS, HEADS = 128, 192, 96, 2, 4
SCALE = 1 / 16
NVFP4, Q8_0, F32 = (GGMLQuantizationType[name] for name in ("NVFP4", "Q8_0", "F32"))
LINEARS = {f"attn_{name}": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "output")}
LINEARS |= {"ffn_gate": (INNER, HIDDEN), "ffn_up": (INNER, HIDDEN), "ffn_down": (HIDDEN, INNER)}
random = np.random.default_rng(0)


def normal(*shape):
    return random.normal(size=shape).astype(np.float32)


def blocks(rows, columns):
    """Blocks of 64 weights: four scales of E4M3, here 0.25 to 0.47, and 64 codes of E2M1."""
    packed = random.integers(0, 256, (rows, columns // 64, 36), dtype=np.uint8)
    packed[..., :4] = random.integers(0x28, 0x30, packed[..., :4].shape)
    return packed.reshape(rows, -1)


linears = {f"blk.{block}.{name}": blocks(*shape) for block in range(BLOCKS) for name, shape in LINEARS.items()}
biases = {f"blk.{block}.attn_{name}.bias": normal(HIDDEN) for block in range(BLOCKS) for name in "qkv"}
outside = {"token_embd.weight": normal(VOCAB, HIDDEN), "output.weight": normal(VOCAB, HIDDEN) / 10}


def write(architecture, kind, type, scaled=("attn", "ffn"), suffix="scale"):
    file = GGUFWriter(f"{architecture}-{kind}.gguf", architecture)
    file.add_context_length(256)
    file.add_block_count(BLOCKS)
    file.add_embedding_length(HIDDEN)
    file.add_feed_forward_length(INNER)
    file.add_head_count(HEADS)
    file.add_head_count_kv(HEADS)
    file.add_rope_dimension_count(HIDDEN // HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_logit_scale(1.0)
    file.add_vocab_size(VOCAB)
    file.add_tokenizer_model("no_vocab")
    norms = {"output_norm": HIDDEN}
    for block in range(BLOCKS):
        norms |= {f"blk.{block}.{name}_norm": HIDDEN for name in ("attn", "ffn")}
        if architecture == "qwen3":
            norms |= {f"blk.{block}.attn_{name}_norm": HIDDEN // HEADS for name in "qk"}
    tensors = outside | {f"{name}.weight": np.ones(size, np.float32) for name, size in norms.items()}
    for name, tensor in (tensors | (biases if architecture == "qwen2" else {})).items():
        file.add_tensor(name, tensor)
    for name, packed in linears.items():
        if type == NVFP4:
            file.add_tensor(f"{name}.weight", packed, raw_dtype=NVFP4)
            if name.split(".")[2].startswith(scaled):
                file.add_tensor(f"{name}.{suffix}", np.full(1, SCALE, np.float32))
        else:
            file.add_tensor(f"{name}.weight", quantize(dequantize(packed, NVFP4) * np.float32(SCALE), type), raw_dtype=type)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


for architecture in ("llama", "qwen3", "qwen2", "granite", "smollm3"):
    write(architecture, "f32", F32)
    write(architecture, "q8_0", Q8_0)
    write(architecture, "nvfp4", NVFP4)
    write(architecture, "without-ffn", NVFP4, scaled=("attn",))
    write(architecture, "unknown-name", NVFP4, suffix="factor")
PYTHON
cat >run.mjs <<'JS'
import assert from 'node:assert'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [VOCAB, LENGTH] = [96, 32]
const bins = join(process.cwd(), 'node_modules/@node-llama-cpp/linux-x64/bins')
const folder = join(bins, readdirSync(bins)[0])
const addon = createRequire(import.meta.url)(join(folder, 'llama-addon.node'))
const said = []
addon.setLogger((_, message) => said.push(message.trim()))
addon.setLoggerLogLevel(3) // warnings and errors
addon.loadBackends(folder)
await addon.init()
console.log(`llama.cpp ${JSON.parse(readFileSync(join(folder, '_nlcBuildMetadata.json'), 'utf8')).buildOptions.llamaCpp.release}`)

async function open(name) {
  const model = new addon.AddonModel(`${name}.gguf`, { addonExports: addon, gpuLayers: 0, useMmap: false })
  return (await model.init().catch(() => false)) ? model : null
}

/** Probabilities of the token behind each, `[LENGTH][VOCAB]`. */
async function probabilities(name) {
  const model = await open(name)
  assert(model, `${name}: ${said.join(' ')}`)
  const context = new addon.AddonContext(model, { contextSize: 256, batchSize: 256, sequences: 1, flashAttention: false, threads: 1 })
  assert(await context.init())
  const sampler = new addon.AddonSampler(model)
  sampler.applyConfig({ temperature: 0 })
  const positions = Uint32Array.from({ length: LENGTH }, (_, i) => i)
  context.initBatch(LENGTH)
  const places = context.addToBatch(0, 0, positions.map((i) => (7 * i * i + 3 * i) % VOCAB), positions)
  await context.decodeBatch()
  const rows = []
  for (const place of places) {
    const [, pairs] = await context.sampleToken(place, sampler, true)
    const row = new Float64Array(VOCAB)
    for (let i = 0; i < pairs.length; i += 2) row[pairs[i]] = pairs[i + 1]
    rows.push(row)
  }
  sampler.dispose()
  await context.dispose()
  await model.dispose()
  return rows
}

const apart = (a, b) => a.reduce((sum, row, i) => sum + row.reduce((some, p, j) => some + Math.abs(p - b[i][j]), 0) / 2, 0) / a.length
const likeliest = (rows) => rows.map((row) => row.indexOf(Math.max(...row)))

for (const [architecture, applied] of Object.entries({ llama: true, qwen3: true, qwen2: false, granite: false, smollm3: false })) {
  assert(!(await open(`${architecture}-unknown-name`)), 'tensors of unknown names are read')
  const right = await probabilities(`${architecture}-f32`)
  const nvfp4 = await probabilities(`${architecture}-nvfp4`)
  const q8 = apart(await probabilities(`${architecture}-q8_0`), right)
  const away = apart(nvfp4, right)
  const moved = apart(await probabilities(`${architecture}-without-ffn`), nvfp4)
  const same = likeliest(nvfp4).filter((token, i) => token === likeliest(right)[i]).length
  console.log(
    `${architecture}: from F32, Q8_0 ${q8.toFixed(3)}, NVFP4 ${away.toFixed(3)} (the same likeliest token at ${same} of ${LENGTH}); ` +
      `leaving out the scales of the feed-forward moves NVFP4 by ${moved === 0 ? 'exactly 0' : moved.toFixed(3)}`,
  )
  assert(q8 < 0.02 && (applied ? away < 0.02 && moved > 0.2 : away > 0.2 && moved === 0), 'the behaviour has changed')
}
const counts = said.filter((line) => line.includes('wrong number of tensors'))
assert(counts.length === 5 && !said.some((line) => /scale/i.test(line)), said.join(' '))
console.log('As described: LLaMA and Qwen3 apply every scale, Qwen2, Granite and SmolLM3 those of attention only.')
JS
node run.mjs
