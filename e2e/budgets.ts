/**
 * `npm run budgets -- [--model FOLDER --dataset FILE --eval FILE] [--budgets 2.5,3.124,3.25] [--write]`: mixtures of widths that fill budgets in
 * bits per weight, beside the uniform runs of the nearest sizes, by the command line. Without a model it takes the embedded demo.
 * `--write` puts the rows into src/quant/README.md, beside those of other models.
 */
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { keepTable, markdown, mergedTable, tableIn } from './tables.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    dataset: { type: 'string' },
    eval: { type: 'string' },
    budgets: { type: 'string', default: '2.5,3.124,3.25' },
    write: { type: 'boolean', default: false },
  },
})

const document = 'src/quant/README.md'
const texts = [...(values.dataset ? ['--dataset', values.dataset] : []), ...(values.eval ? ['--eval', values.eval] : [])]
const method = [
  '--quantization-method',
  'gptq',
  '--act-order',
  '--static-groups',
  '--nsamples',
  '16',
  '--seqlen',
  '128',
  '--eval-samples',
  '16',
]

interface Uniform {
  bits: number
  bits_per_weight: number
  kl: number
  kl_more_than_mixture: { kl: number; error: number }
}

function row(budget: string): string[] {
  const asked = ['--model', values.model ?? 'demo', ...texts, ...method, '--target-bpw', budget, '--json']
  const { status, stdout, stderr } = spawnSync(process.execPath, ['src/setup.mjs', 'quantize', ...asked], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  })
  if (status !== 0) throw new Error(stderr.split('\n').slice(-6).join('\n'))
  const { bits_per_weight, kl, budget: found } = JSON.parse(stdout)
  const beside = (one: Uniform | undefined) => {
    if (!one) return ''
    const { kl, error } = one.kl_more_than_mixture
    const more = `${Math.abs(kl).toPrecision(2)} ± ${error.toPrecision(1)} ${kl < 0 ? 'less' : 'more'}`
    return `${one.bits} bits, ${one.bits_per_weight.toFixed(3)}, ${one.kl.toPrecision(3)}: ${more}`
  }
  const within = (found.uniform as Uniform[]).filter((one) => one.bits_per_weight <= Number(budget)).at(-1)
  const next = (found.uniform as Uniform[]).find((one) => one.bits_per_weight > Number(budget))
  const name = values.model ? basename(values.model) : 'demo'
  console.error(`${name}, ${budget}: KL ${kl.toPrecision(3)}`)
  return [
    `${name}, ${budget}`,
    `${bits_per_weight.toFixed(3)}, ${kl.toPrecision(3)}`,
    found.predicted_kl.toPrecision(3),
    beside(within),
    beside(next),
  ]
}

const rows = values.budgets.split(',').map(row)
const made = markdown(
  ['model, budget in bits per weight', 'mixture: bits, KL', 'foreseen', 'the largest uniform run within it', 'the next one'],
  rows,
)
process.stdout.write(`${made}\n`)
if (values.write) {
  const before = tableIn(await readFile(document, 'utf8'), 'budgets')
  await keepTable(document, 'budgets', mergedTable(before, made, '–'))
}
