/**
 * What a checkpoint tells of itself: README.md, a model card as the Hub reads it, and quantization_report.json. Neither holds a time,
 * so that a job that was interrupted ends in the same bytes.
 */
import type { Compatibility, ExportFormat } from '../../io/formats/index.ts'
import { inWords } from '../../errors.ts'
import { overrideText } from '../../overrides.ts'
import type { CheckpointReport, ReportHead } from '../job/report.ts'
import type { LastWords, RunResult } from '../job/result.ts'
import type { UsedText } from '../job/texts.ts'
import { remarks } from '../plan/remarks.ts'
import type { PlannedRun } from '../plan/plan.ts'
import { gridKind } from '../../quant/grids/index.ts'
import type { OpenModel } from '../../models/open.ts'
import type { OptionSpec } from '../../options.ts'
import { runOptions } from '../run-options.ts'
import { figure } from '../../figure.ts'

/** The job's report of one run, without what differs from one sitting to the next, and which formats it was asked in. */
export function checkpointReport(head: ReportHead, result: RunResult): CheckpointReport {
  const { adapter, job, fpWindows: ________, ...rest } = head
  const { name, vendor, architecture, kind } = adapter
  const { formats: _, keepSolved: __, runs, ...asked } = job
  const own = runs.filter(({ id }) => id === result.run).map(({ formats: ___, ...spec }) => spec)
  const { seconds: _____, export: ______, windows: _________, klSpread: __________, layers, ends, ...figures } = result
  const timeless = layers.map(({ seconds: _______, ...layer }) => layer)
  return {
    ...rest,
    adapter: { name, vendor, architecture, kind },
    job: { ...asked, runs: own },
    linears: layers.map((layer) => layer.name),
    runs: [{ ...figures, ...(ends && { ends: ends.map(({ seconds: ___________, ...end }) => end) }), layers: timeless }],
  }
}

interface CardFacts {
  report: CheckpointReport
  run: PlannedRun
  opened: OpenModel
  format: ExportFormat
  loadsIn: Compatibility[]
}

export function modelCard(facts: CardFacts): string {
  const { report, run, opened, loadsIn } = facts
  const parts = [frontMatter(facts), heading(facts), figures(report), method(report, run), howToRun(loadsIn), notes(facts)]
  if (!facts.format.alone && opened.folder.files.has('README.base.md'))
    parts.push('The card of the model that this was made from is README.base.md.')
  return `${parts.join('\n\n')}\n`
}

/** Fields that a base model's card says of its quantized ones too, as they stand there. */
const carried = ['license', 'license_name', 'license_link', 'language']

function frontMatter({ report, run, opened, format }: CardFacts): string {
  const source = report.model.source
  const library = format.library === undefined ? 'transformers' : format.library
  const tags = ['quantease-workbench', format.id, run.spec.method, `${widthsOf(run).join('-')}-bit`]
  return [
    '---',
    ...(source ? [`base_model: ${source.repo}`, 'base_model_relation: quantized'] : []),
    // A field goes on in lines that are indented, or begin with a dash.
    ...(opened.folder.front ?? '').split(/\r?\n(?=[^\s-])/).filter((field) => carried.includes(field.split(':')[0])),
    ...(library ? [`library_name: ${library}`] : []),
    'pipeline_tag: text-generation',
    'tags:',
    ...tags.map((tag) => `- ${tag}`),
    '---',
  ].join('\n')
}

function heading({ report, run, format }: CardFacts): string {
  const { name, source, sha256 } = report.model
  const origin = source
    ? `[${source.repo}](https://huggingface.co/${source.repo}/tree/${source.revision}) at \`${source.ref}\` (commit ${source.revision})`
    : `${plain(name)} (SHA-256 of its configuration and of samples of its weights: ${sha256})`
  const { version, code } = report.workbench
  return `# ${plain(name)}, ${run.solver.label}, ${gridsInWords(run)}, ${format.label}

Made from ${origin} by QuantEase Workbench ${version} (engine ${code.slice(0, 12)}) on ${plain(report.adapter.name)}. Its format: ${format.summary}`
}

function figures(report: CheckpointReport): string {
  const run = report.runs[0]
  const spread = (value: number | null, error: number | null) =>
    value === null ? '–' : `${figure(value, 6)}${error === null ? '' : ` ± ${figure(error)}`}`
  const shown = (value: number | null) => (value === null ? '–' : figure(value, 4))
  const words = (of: LastWords | undefined) => (of ? `${((100 * of.right) / of.passages).toFixed(1)} % of ${of.passages}` : '–')
  const rows = [
    ['perplexity ± standard error', spread(report.fpPerplexity, report.fpPerplexityError), spread(run.perplexity, run.perplexityError)],
    ['KL divergence from the model as it was loaded, nats', '0', shown(run.kl)],
    ['same most likely token', '100 %', run.top1 === null ? '–' : `${(100 * run.top1).toFixed(2)} %`],
    ...(run.lambada ? [['last words right', words(report.fpLambada), words(run.lambada)]] : []),
    ['bits per quantized weight', '–', run.bitsPerWeight.toFixed(3)],
    ['mean relative error of the linears, ‖(W−Ŵ)X‖² / ‖WX‖²', '0', shown(run.meanRelativeError)],
    ...(run.meanHeldOutError === undefined ? [] : [['the same on held-out tokens', '0', shown(run.meanHeldOutError)]]),
    ...(run.ends ?? []).map(({ name, type, relativeError }) => [`relative error of ${plain(name)} in ${type}`, '0', shown(relativeError)]),
    ['worst linear', '–', run.worst ? `${shown(run.worst.relativeError)} (${plain(run.worst.name)})` : '–'],
  ]
  return [
    '## Figures',
    '',
    '| | as it was loaded | quantized |',
    '| --- | --- | --- |',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n')
}

function method(report: CheckpointReport, run: PlannedRun): string {
  const { job, texts, calibration, evaluation } = report
  const named = (what: string, text: UsedText | undefined, how: string) =>
    text ? [`- ${what}: ${plain(text.name)}, ${how}; ${text.tokens} tokens, SHA-256 of their ids ${text.tokensSha256}`] : []
  const options = [...run.solver.options, ...runOptions].map((spec) => `- ${spec.label}: ${valueInWords(spec, run)}`)
  return [
    '## How it was made',
    '',
    `${run.solver.label}: ${run.solver.summary}`,
    '',
    ...options,
    ...(run.spec.overrides ?? []).map((override) => `- Override: \`${plainCode(overrideText(override))}\``),
    `- Seed: ${job.seed}`,
    ...named(
      'Calibration',
      texts.calibration,
      `${calibration.windows} windows of ${calibration.length} tokens, ${job.calibration.sampling}`,
    ),
    ...named('Evaluation', texts.evaluation, `${evaluation.windows} windows of ${evaluation.length} tokens, end to end`),
    ...named('Last words', texts.lambada, 'one passage each'),
    '',
    'quantization_report.json holds the same and the figures of each linear.',
  ].join('\n')
}

/** A value as the page says it: `-1` and `0` mean something only to who knows the options. */
function valueInWords(spec: OptionSpec, { options, blocks }: PlannedRun): string {
  const value = options[spec.key]
  if (spec.key === 'blocks' && value === 0) return `all ${blocks}`
  const choice = spec.type === 'choice' ? spec.choices.find((one) => one.value === value) : undefined
  return choice?.label ?? String(value)
}

function howToRun(loadsIn: Compatibility[]): string {
  const lines = loadsIn.flatMap(({ runtime, loads, note, command }) => [
    `- **${runtime}**: ${note}`,
    ...(loads && command ? ['', `      ${command.replaceAll('{folder}', '.')}`, ''] : []),
  ])
  return ['## Where it loads', '', ...lines].join('\n')
}

function notes({ report, run, opened, format }: CardFacts): string {
  // What else it was written in is no matter of this checkpoint.
  const said = remarks({ ...run, formats: [format] }, opened, true).map(({ message }) => message)
  const ofLayers = new Map<string, number>()
  for (const { notes } of report.runs[0].layers) for (const note of notes) ofLayers.set(note, (ofLayers.get(note) ?? 0) + 1)
  const lines = [
    'Figures were measured by the workbench itself, in float32, with the weights that are stored here unless a note says otherwise.',
    ...said,
    ...Array.from(ofLayers, ([note, count]) => `${note} (${count === 1 ? 'one linear' : `${count} linears`})`),
  ]
  return ['## Notes', '', ...lines.map((line) => `- ${plain(line)}`)].join('\n')
}

/** What a run's linears are rounded to, the narrowest first: "2 and 3 bits", "Q4_K and Q5_0". */
function gridsInWords({ linears }: PlannedRun): string {
  const widths = new Map<string, number>()
  const types = new Map<string, number>()
  for (const { options, grid } of linears.flatMap((of) => [...of.values()])) {
    const { label, fixed } = gridKind(String(options.kind ?? 'uniform'))
    if (fixed?.bits) types.set(label!, grid.bits)
    else widths.set(String(grid.bits), grid.bits)
  }
  const sorted = (of: Map<string, number>) => [...of].sort((a, b) => a[1] - b[1]).map(([word]) => word)
  const bits = widths.size ? [`${inWords(sorted(widths), 'and')} bits`] : []
  return inWords([...sorted(types), ...bits], 'and')
}

/** The widths of a run's linears, the smallest first. */
const widthsOf = ({ output: { linears, ends = [] } }: PlannedRun) =>
  [...new Set(linears.filter(({ name }) => !ends.includes(name)).map(({ bits }) => bits))].sort((a, b) => a - b)

/** Between back ticks nothing but another one means something. */
const plainCode = (text: string) => text.replace(/[\s`]+/g, ' ')

/** Names come from strangers: one line, without what Markdown or HTML would make something of. */
const plain = (text: string) => text.replace(/\s+/g, ' ').replace(/[<>|`[\]\\*]/g, '\\$&')
