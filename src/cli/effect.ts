/**
 * Flags that change nothing. One rule for all of them: they are named in a note, and the job goes on. Refused is only what cannot be meant:
 * what contradicts itself, and what asks for a result (--resume, --format, --push …) that would not be there.
 */
import type { Catalog } from '../engine/job/catalog.ts'
import { datasetsOf, deviceFlagNames, type Given, specsOf } from './arguments.ts'
import type { Asked } from './asked.ts'

/** Used only for calibrating and solving, beside the options of methods. */
const calibrationFlags = [
  'dataset',
  'nsamples',
  'sampling',
  'seed',
  'held-out',
  'override',
  'target-bpw',
  'target-size',
  'date',
  'chat-template',
  'quantization-method',
  'compute-quantization-recon-error',
]

/** What a dry run neither reads nor writes. */
const beyondDryRun = [
  ...['dataset', 'eval', 'lambada', 'lambada-passages', 'sampling', 'seed', 'date', 'chat-template', 'quantization-method'],
  ...['compute-quantization-recon-error', 'save', 'overwrite', 'resume', 'keep-solved', 'push', 'public', 'report'],
]

/** A note for each reason why given flags have no effect. */
export function withoutEffect(catalog: Catalog, given: Given, { method, strange, prompt, measureOnly, promptOnly }: Asked): string[] {
  const has = (flag: string) => given.values[flag] !== undefined
  const dry = given.on('dry-run')
  const rules: [flags: readonly string[], idle: boolean, why: string][] = [
    [strange, !measureOnly && !dry, `with ${method}`],
    [solvingFlags(catalog, given, prompt), measureOnly && !dry, 'with --wbits 16, which only measures'],
    [['date'], !has('chat-template') && !measureOnly && !dry, 'without --chat-template'],
    [['lambada-passages'], !has('lambada') && !has('job') && !dry, 'without --lambada'],
    [['prompt-tokens', 'temperature'], !has('prompt'), 'without --prompt'],
    [deviceFlagNames, !dry, 'without --dry-run'],
    [beyondDryRun, dry, 'with --dry-run, which reads no texts, writes nothing, and is of all methods'],
    [
      ['lambada', 'eval-samples', 'eval-seqlen', 'products', 'report'],
      promptOnly && !dry,
      'with a --prompt and no --eval, which measure nothing',
    ],
  ]
  return rules.flatMap(([flags, idle, why]) => {
    const named = idle ? flags.filter(has).map((flag) => `--${flag}`) : []
    return named.length ? [`Note: ${named.join(', ')} ${named.length > 1 ? 'have' : 'has'} no effect ${why}.`] : []
  })
}

/** What only measuring does not need. */
function solvingFlags(catalog: Catalog, { values }: Given, prompt: Asked['prompt']): string[] {
  const options = [...new Set([...specsOf(catalog)].map(({ flag }) => flag))].filter((flag) => flag !== 'wbits')
  // Without --eval, the calibration data set determines the evaluation text.
  const chooses = values.eval === undefined && datasetsOf(catalog.texts).includes(String(values.dataset))
  const spared = [chooses && 'dataset', prompt && prompt.temperature > 0 && 'seed']
  return [...options, ...calibrationFlags].filter((flag) => !spared.includes(flag))
}
