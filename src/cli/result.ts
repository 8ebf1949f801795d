/** The result of a job on stdout: a readable summary, or one JSON object. */
import type { JobReport } from '../engine/job/report.ts'
import { type EndResult, type LastWords, type LayerResult, bitsByContent, countedIn } from '../engine/job/result.ts'
import { overrideText } from '../overrides.ts'
import { figure } from '../figure.ts'

/** What `--json` prints. */
/** `pushed`: address of the repository that the checkpoint was uploaded to. */
export function resultOf(report: JobReport, pushed: string | null) {
  const run = report.runs.at(0)
  const { label = null, method = null, options = null, overrides = [] } = report.job.runs.at(0) ?? {}
  return {
    adapter: report.adapter.name,
    model: report.model.name,
    source: report.model.source,
    run: label,
    method,
    options: {
      ...options,
      ...(overrides.length && { overrides: overrides.map(overrideText) }),
      calibration: report.job.calibration,
      evaluation: { ...report.job.evaluation, samples: report.evaluation.windows, length: report.evaluation.length },
      seed: report.job.seed,
      ...(report.job.date !== undefined && { date: report.job.date }),
    },
    ...(report.products && { products: report.products }),
    fp_perplexity: report.fpPerplexity,
    perplexity: run ? run.perplexity : report.fpPerplexity,
    perplexity_se: run ? run.perplexityError : report.fpPerplexityError,
    kl: run?.kl ?? null,
    kl_se: run?.klSpread?.error ?? null,
    kl_median: run?.klSpread?.median ?? null,
    kl_p99: run?.klSpread?.p99 ?? null,
    kl_max: run?.klSpread?.max ?? null,
    top1: run?.top1 ?? null,
    fp_lambada: accuracyOf(report.fpLambada),
    lambada: accuracyOf(run ? run.lambada : report.fpLambada),
    mean_relative_error: run?.meanRelativeError ?? null,
    mean_held_out_error: run?.meanHeldOutError ?? null,
    bits_per_weight: run ? run.bitsPerWeight : null,
    bits: run ? bitsOf(countedIn(run)) : null,
    seconds: run ? run.seconds : report.seconds,
    network: report.network,
    export_error: run?.exportError ?? null,
    pushed,
    ...(run?.ends && { ends: run.ends.map(endOf) }),
    ...(run?.kept && { kept: run.kept.map(({ name }) => name) }),
    layers: (run?.layers ?? []).map(layerOf),
  }
}

function layerOf(layer: LayerResult) {
  return {
    name: layer.name,
    relative_error: layer.relativeError,
    held_out_error: layer.heldOutError ?? null,
    ...aimOf(layer),
    seconds: layer.seconds,
    iterations: layer.iterations,
    products: layer.products ?? null,
    bits: bitsOf([layer]),
    ...(layer.own && { own: layer.own }),
    ...(layer.type && { type: layer.type }),
    notes: layer.notes,
  }
}

function endOf(end: EndResult) {
  return {
    name: end.name,
    use: end.use,
    type: end.type,
    relative_error: end.relativeError,
    held_out_error: end.heldOutError ?? null,
    table_error: end.tableError ?? null,
    ...aimOf(end),
    seconds: end.seconds,
    bits: bitsOf([end]),
    notes: end.notes,
  }
}

const aimOf = ({ aim }: Pick<LayerResult, 'aim'>) => aim && { damping: aim.damping, target_alpha: aim.alpha, trials: aim.trials }

/** Bits per weight by purpose; they add up to `bits_per_weight`. */
function bitsOf(layers: Pick<LayerResult, 'shape' | 'bits'>[]) {
  const { groupIndex, kept, ...others } = bitsByContent(layers)
  return { ...others, group_index: groupIndex, ...(kept && { kept }) }
}

/** With its standard error, that of a fraction of independent passages. */
function accuracyOf(words: LastWords | undefined) {
  if (!words) return null
  const accuracy = words.right / words.passages
  return { accuracy, se: Math.sqrt((accuracy * (1 - accuracy)) / words.passages), passages: words.passages }
}

/** A measured figure of a summary. */
export const shown = (value: number | null) => (value === null ? '–' : figure(value, 3))

export function summary(report: JobReport, saved: string | undefined, pushed: string | null): string {
  const run = report.runs.at(0)
  const { name, quantized } = report.model
  const kind = quantized ? `quantized to ${quantized.bits} bits` : 'full precision'
  const spread = (error: number | null) => (error === null ? '' : ` ± ${error.toFixed(3)} (standard error over windows)`)
  const { label, method } = report.job.runs.at(0) ?? {}
  // Without a job file a run is called after its method.
  const lines = label === method ? [] : [`Run: ${label}`]
  lines.push(`Perplexity of ${name}, ${kind} as stored: ${report.fpPerplexity?.toFixed(3)}${spread(report.fpPerplexityError)}`)
  const words = (what: string, measured: LastWords | undefined) => {
    const found = accuracyOf(measured)
    if (!found) return
    const [accuracy, se] = [found.accuracy, found.se].map((share) => (share * 100).toFixed(1))
    lines.push(`Last-word accuracy ${what}: ${accuracy} ± ${se} % of ${found.passages} passages`)
  }
  words('as stored', report.fpLambada)
  if (run) {
    lines.push(`Perplexity quantized: ${run.perplexity?.toFixed(3)}${spread(run.perplexityError)}`)
    lines.push(`KL divergence from full precision: ${shown(run.kl)} nats; same top token: ${((run.top1 ?? 0) * 100).toFixed(1)} %`)
    words('quantized', run.lambada)
    lines.push(`Bits per weight: ${run.bitsPerWeight.toFixed(2)}`)
    for (const { use, type, relativeError } of run.ends ?? [])
      lines.push(
        `${{ embedding: 'Embedding', head: 'Head', both: 'Embedding and head' }[use]} in ${type}: relative error ${shown(relativeError)}`,
      )
    lines.push(
      `Mean relative error of the layers: ${shown(run.meanRelativeError)}, worst ${shown(run.worst?.relativeError ?? null)} (${run.worst?.name})`,
    )
    if (run.meanHeldOutError !== undefined)
      lines.push(`The same on ${report.calibration.heldOut} held-out windows: ${shown(run.meanHeldOutError)}`)
  }
  if (run?.export) lines.push(`Checkpoint: ${saved}`)
  if (pushed !== null) lines.push(`Uploaded to: ${pushed}`)
  return `${lines.join('\n')}\n`
}
