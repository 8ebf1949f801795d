/**
 * GGUF, the format of llama.cpp and all that is built on it: one file with weights, architecture and tokenizer. Its simplest types store
 * solved codes exactly, except for the minimum of Q4_1 (see gguf/blocks.ts); nothing is quantized again.
 */
import type { Compatibility, ExportFormat, ExportPlan, NotLoaded, Remark } from './format.ts'
import { dtypeNames, eachGrid, loadedStream, remarksOfGrids } from './format.ts'
import type { Rope } from './model.ts'
import { blockType } from './gguf/blocks.ts'
import { usualLayout, refusalOf, typeOf } from './gguf/layout.ts'
import { SUPER, superTypeOf } from './gguf/super.ts'

export const gguf: ExportFormat = {
  id: 'gguf',
  label: 'GGUF',
  summary:
    'one file with weights and tokenizer, for llama.cpp, Ollama, LM Studio and wllama: Q4_0 (2 to 4 bits symmetric), Q4_1 (asymmetric), Q8_0, or a type of its own chosen as --type.',
  alone: true,
  library: 'gguf',
  stores: 'codes',
  accepts: eachGrid(refusalOf),
  // Except minima of Q4_1, by less than a hundredth of a step, which a remark says.
  rounds: () => null,
  declares: (dtype) => dtypeNames[dtype],
  bytes: (plan) => usualLayout(plan).files.reduce((sum, { size }) => sum + size, 0),
  remarks: (plan) => [...fallbacks(plan), ...remarksOfGrids(remarks)(plan)],
  write: (plan, model, sink) =>
    loadedStream(async () => new (await import('./gguf/stream.ts')).GgufStream(plan, usualLayout(plan), model, sink)),
  compatibility,
}

/** A remark on rows that the run's K type does not hold. */
function fallbacks(plan: ExportPlan): Remark[] {
  const others = superTypeOf(plan.levels) ? plan.linears.filter(({ name, p }) => p % SUPER && !plan.ends?.includes(name)) : []
  if (!others.length || gguf.accepts(plan)) return []
  const types = [...new Set(others.map((linear) => typeOf(plan, linear)))].join(' and ')
  const message = `${others.length} of ${plan.linears.length} linears have rows that super-blocks of ${SUPER} weights do not divide: they are stored in ${types}, as llama.cpp does it.`
  return [{ field: 'kind', severity: 'note', message, hint: '' }]
}

function remarks(plan: ExportPlan): Remark[] {
  if (refusalOf(plan)) return []
  const { bits, symmetric, otherModules = [] } = plan.settings
  const { levels } = plan
  const { architecture, vocabulary } = usualLayout(plan)
  const found: Remark[] = []
  const add = (field: string, severity: Remark['severity'], message: string, hint = '') => found.push({ field, severity, message, hint })
  const type = blockType(bits, symmetric, levels)
  if (type === 'Q4_1' && levels === 'uniform') {
    // Half a unit in the last place of the largest product of scale and zero.
    const share = ((2 ** bits - 1) / 2048) * 100
    add(
      'bits',
      'note',
      `GGUF’s Q4_1 stores the smallest value of each block in float16: weights differ by at most ${share.toFixed(2)} % of a step from the measured ones.`,
      'With the type “real minimum”, what is measured is what is stored.',
    )
  }
  if (bits < 4 && type)
    add(
      'bits',
      'note',
      `In GGUF, codes of ${bits} bits take the space of 4 bits (${type}, ${type === 'Q4_1' ? 5 : 4.5} bits per weight), since its smaller types also round scales.`,
      'Choose 4 bits for more accuracy in a file of the same size.',
    )
  if (architecture.exactTo !== null)
    add(
      'bits',
      'warning',
      `llama.cpp does not support the sliding window of this model, so the GGUF file declares a context of ${architecture.exactTo} tokens, within which there is no difference.`,
    )
  if (otherModules.length)
    add(
      'bits',
      'note',
      `A GGUF file contains the text model only, without ${otherModules.join(', ')}.`,
      'llama.cpp reads encoders of images from a second file, which convert_hf_to_gguf.py --mmproj makes of the original model.',
    )
  if (architecture.longFrom !== null)
    add(
      'bits',
      'note',
      `llama.cpp chooses between the rotary factors of this model by the size of its context, not of the text: texts of up to ${architecture.longFrom} tokens are as measured with -c ${architecture.longFrom}.`,
    )
  for (const one of vocabulary?.differs ?? []) add('bits', 'note', `llama.cpp’s tokenizer differs from the model’s: ${one}.`)
  return found
}

/** Families whose GGUF files transformers dequantizes (`GGUF_CONFIG_MAPPING` of version 5.24). */
const inTransformers = ['llama', 'mistral', 'qwen2', 'qwen3', 'gemma2', 'gemma3', 'falcon', 'bloom']

/** As of November 2026. */
function compatibility(plan: ExportPlan, notLoaded: NotLoaded = {}): Compatibility[] {
  const { files, scales } = usualLayout(plan)
  const { family, label, attention } = plan.model
  const many = files.length > 1
  const run = files[0].path
  const transformers =
    notLoaded.transformers ??
    (!inTransformers.includes(family)
      ? `No: transformers does not read GGUF files of ${label}.`
      : scales.size
        ? 'No: transformers does not read the scales of NVFP4 in GGUF files.'
        : attention!.ropes.some((rope) => rope && (rope as Rope).scaling.kind !== 'none')
          ? 'No: transformers overlooks the scaling of rotary positions in GGUF files, and computes something else.'
          : many
            ? 'No: transformers reads single GGUF files only, and this one is split.'
            : null)
  return [
    {
      runtime: 'QuantEase Workbench',
      loads: false,
      note: 'No: it opens safetensors; write another format as well to measure the checkpoint again.',
    },
    { runtime: 'llama.cpp', loads: true, note: `Yes: llama-cli -m ${run}${many ? ', which finds the other shards' : ''}.` },
    {
      runtime: 'Ollama',
      loads: !many,
      note: many
        ? 'No: Ollama takes a model from one file; join the shards first with llama-gguf-split --merge.'
        : `Yes: write “FROM ./${run}” into a Modelfile, then ollama create.`,
    },
    { runtime: 'LM Studio', loads: true, note: `Yes: lms import ${run}, or put the folder into its folder of models.` },
    {
      runtime: 'wllama',
      loads: true,
      note: 'Yes, in the browser: files of up to 2 GiB each, if the model fits into the 4 GB of WebAssembly.',
    },
    {
      runtime: 'transformers',
      loads: !transformers,
      note: transformers ?? 'Yes, with the package gguf: it dequantizes the file to float32.',
      // There is no config.json beside the file: without its name the folder is no model to transformers.
      command: `python -c "from transformers import pipeline; print(pipeline('text-generation', '{folder}', model_kwargs={'gguf_file': '${run}'})('Once upon a time'))"`,
    },
  ]
}
