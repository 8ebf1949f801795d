#!/usr/bin/env bash
# llama.cpp v0.4.0 (@node-llama-cpp/linux-x64 3.21.1): a GGUF file of Gemma 4 that names no cap of its logits gets one of 30.
#
# Gemma 4 has `final_logit_softcapping`: logits become cap * tanh(logits / cap). A file without the key would mean a model without a
# cap, as it does for Gemma 3 and as a config.json without it does in transformers (5.24.0), whose default is none. For Gemma 4 llama.cpp takes
# 30 instead, the value of Google's models, and says nothing. To have no cap a file must say 0, which is no cap of 0 but none.
#
# Below, random models whose logits are large, without the key and with 0, 30 and a million, which caps nothing. Distances are total
# variations of the next token's probabilities, the mean over 32 positions: 0 is equal, 1 has nothing in common.
# Seen: for Gemma 4 the file without the key is exactly the one with 30, and 0.65 from those without a cap; for Gemma 3 it is exactly
# the one with 0, and 0.66 from 30. The same in llama.cpp v0.5.0 (3.22.1). The script fails when that changes.
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
from gguf import GGUFWriter

HIDDEN, INNER, VOCAB, BLOCKS, HEADS, HEAD = 64, 96, 96, 2, 2, 32
LINEARS = {f"attn_{name}": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "output")}
LINEARS |= {"ffn_gate": (INNER, HIDDEN), "ffn_up": (INNER, HIDDEN), "ffn_down": (HIDDEN, INNER)}
random = np.random.default_rng(0)


def normal(*shape, deviation=1.0):
    return (random.normal(size=shape) * deviation).astype(np.float32)


tensors = {"token_embd.weight": normal(VOCAB, HIDDEN), "output.weight": normal(VOCAB, HIDDEN, deviation=4)}
norms = {"output_norm": HIDDEN}
for block in range(BLOCKS):
    tensors |= {f"blk.{block}.{name}.weight": normal(*shape, deviation=0.1) for name, shape in LINEARS.items()}
    norms |= {f"blk.{block}.{name}": HIDDEN for name in ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")}
    norms |= {f"blk.{block}.attn_{name}_norm": HEAD for name in "qk"}
tensors |= {f"{name}.weight": np.ones(size, np.float32) for name, size in norms.items()}


def write(architecture, kind, cap):
    file = GGUFWriter(f"{architecture}-{kind}.gguf", architecture)
    file.add_context_length(256)
    file.add_block_count(BLOCKS)
    file.add_embedding_length(HIDDEN)
    file.add_feed_forward_length(INNER)
    file.add_head_count(HEADS)
    file.add_head_count_kv(HEADS)
    file.add_key_length(HEAD)
    file.add_value_length(HEAD)
    file.add_rope_dimension_count(HEAD)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_sliding_window(64)
    file.add_vocab_size(VOCAB)
    file.add_tokenizer_model("no_vocab")
    if architecture == "gemma4":
        for key, value in {"key_length_swa": HEAD, "value_length_swa": HEAD, "shared_kv_layers": 0}.items():
            file.add_uint32(f"gemma4.attention.{key}", value)
        file.add_uint32("gemma4.rope.dimension_count_swa", HEAD)
        file.add_uint32("gemma4.embedding_length_per_layer_input", 0)
        file.add_array("gemma4.attention.sliding_window_pattern", [True, False])
        file.add_tensor("rope_freqs.weight", np.ones(HEAD // 2, np.float32))
    if cap is not None:
        file.add_final_logit_softcapping(cap)
    for name, tensor in tensors.items():
        file.add_tensor(name, tensor)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


for architecture in ("gemma3", "gemma4"):
    for kind, cap in (("unsaid", None), ("0", 0.0), ("30", 30.0), ("million", 1e6)):
        write(architecture, kind, cap)
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

/** Probabilities of the token behind each, `[LENGTH][VOCAB]`. */
async function probabilities(name) {
  const model = new addon.AddonModel(`${name}.gguf`, { addonExports: addon, gpuLayers: 0, useMmap: false })
  assert(await model.init().catch(() => false), `${name}: ${said.join(' ')}`)
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

for (const [architecture, capped] of Object.entries({ gemma3: false, gemma4: true })) {
  const unsaid = await probabilities(`${architecture}-unsaid`)
  const from = {}
  for (const kind of ['0', '30', 'million']) from[kind] = apart(unsaid, await probabilities(`${architecture}-${kind}`))
  console.log(`${architecture}: a file without the key is ${from['30']} from 30, ${from['0']} from 0, ${from.million} from a million`)
  assert(capped ? from['30'] === 0 : from['0'] === 0, 'the behaviour has changed')
  assert(capped ? from['0'] > 0.5 && from.million > 0.5 : from['30'] > 0.5 && from.million < 1e-5, 'the behaviour has changed')
}
assert(!said.some((line) => /cap/i.test(line)), said.join(' '))
console.log('As described: 30 is the default of Gemma 4, and no cap that of Gemma 3.')
JS
node run.mjs
