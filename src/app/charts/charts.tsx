/** The charts of a job, each from the job's view alone. */
import { useView } from '../context.ts'
import * as format from '../format.ts'
import { maxPoints } from '../../engine/job.ts'
import type { JobView, RunView } from '../reduce.ts'
import { Curves, type Point } from './curves.tsx'
import { shortName } from './names.ts'

const indexed = (view: JobView) => view.runs.map((run, index) => ({ run, index }))

export function LayerErrors({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const { layers } = view
  // Beyond what a chart can hold, neighbours share a point: the worst of them.
  const each = Math.max(1, Math.ceil(layers.length / maxPoints))
  const place = new Map(layers.map((name, i) => [name, i]))
  const show = (value: number) => format.relativeError(value, unit)

  const points = (run: RunView): Point[] => {
    const worst = new Map<number, Point>()
    for (const layer of run.layers) {
      const x = Math.floor((place.get(layer.name) ?? 0) / each)
      const known = worst.get(x)
      const notes = [...(known?.notes ?? []), ...layer.notes]
      if (!known || layer.relativeError > known.y) worst.set(x, { x, y: layer.relativeError, name: shortName(layer.name), notes })
      else worst.set(x, { ...known, notes })
    }
    return [...worst.values()]
  }

  const solved = view.runs.map((run) => new Map(run.layers.map((layer) => [layer.name, layer])))
  const noted = view.runs.some((run) => run.layers.some((layer) => layer.notes.length))
  const notes = [
    each > 1 && `each point: the worst of ${each} linears; the table has all`,
    noted && '!: see the notes of the layer',
  ].filter(Boolean)

  const starts: number[] = []
  const perBlock = layers.length / Math.max(1, view.blocks) / each
  const skip = Math.ceil(view.blocks / 12)
  for (let block = 0; block < view.blocks; block += skip) starts.push(Math.round(block * perBlock))

  return (
    <Curves
      title="Relative error by layer, ‖(W−Ŵ)X‖² / ‖WX‖²"
      note={notes.join('; ') || undefined}
      empty="Each linear appears here as it is solved."
      height={260}
      series={indexed(view).map(({ run, index }) => ({ index, label: run.label, points: points(run) }))}
      x={{
        label: 'Block',
        domain: [0, Math.max(1, Math.ceil(layers.length / each) - 1)],
        ticks: starts,
        format: (x) => String(Math.round(x / Math.max(perBlock, 1e-9)) + 1),
        name: (x) => shortName(layers[x * each] ?? ''),
      }}
      y={{ log: true, format: show, tick: unit === 'scientific' ? format.scientificTick : show }}
      table={{
        columns: ['Linear', ...view.runs.map((run) => run.label), ...(noted ? ['Notes'] : [])],
        rows: layers.map((name) => [
          shortName(name),
          ...solved.map((known) => show2(known.get(name)?.relativeError, show)),
          ...(noted
            ? [solved.flatMap((known, i) => (known.get(name)?.notes ?? []).map((note) => `${view.runs[i].label}: ${note}`)).join(' ')]
            : []),
        ]),
      }}
    />
  )
}

const show2 = (value: number | undefined, show: (value: number) => string) => (value === undefined ? '' : show(value))

export function PerplexityByBlocks({ view }: { view: JobView }) {
  const full = view.fpPerplexity
  const series = indexed(view).map(({ run, index }) => {
    const points = run.perplexity.map(({ blocks, value }) => ({ x: blocks, y: value }))
    return { index, label: run.label, points: points.length && full !== null ? [{ x: 0, y: full }, ...points] : points }
  })
  const values = series.flatMap(({ points }) => points.map((point) => point.y))
  const log = Math.max(...values) > 20 * Math.min(...values)
  const every = Math.max(1, Math.ceil(view.blocks / 12))
  const marks = [...new Set(view.runs.flatMap((run) => run.perplexity.map((point) => point.blocks)))].sort((a, b) => a - b)
  return (
    <Curves
      title="Perplexity with the first k blocks quantized"
      empty={
        full === null
          ? 'First the perplexity of the model at full precision, then one point per block.'
          : `Full precision: ${format.perplexity(full)}. The first point appears after the first block.`
      }
      height={220}
      series={series}
      x={{
        label: 'Blocks quantized (k)',
        domain: [0, Math.max(1, view.blocks)],
        ticks: Array.from({ length: Math.floor(view.blocks / every) + 1 }, (_, i) => i * every),
        format: String,
        name: (x) => format.plural(x, 'block'),
      }}
      y={{ log, format: format.perplexity, tick: log ? format.count : undefined }}
      reference={full === null ? undefined : { y: full, label: `full precision ${format.perplexity(full)}` }}
      table={{
        columns: ['Blocks', ...view.runs.map((run) => run.label)],
        rows: [
          ['0', ...view.runs.map(() => format.perplexity(full))],
          ...marks.map((blocks) => [
            String(blocks),
            ...view.runs.map((run) => show2(run.perplexity.find((point) => point.blocks === blocks)?.value, format.perplexity)),
          ]),
        ],
      }}
    />
  )
}

export function ObjectiveByIteration({ view, run }: { view: JobView; run: RunView | undefined }) {
  const objective = run?.objective
  const points = objective?.points ?? []
  const each = Math.max(1, Math.ceil(points.length / maxPoints))
  return (
    <Curves
      title="Objective f(Ŵ) / f(0) by iteration"
      note={objective ? `${shortName(objective.linear)}; hollow: relaxed` : '\u00a0'}
      empty="Methods that iterate, such as QuantEase, draw their progress here, linear by linear."
      height={170}
      legend={false}
      series={
        run ? [{ index: view.runs.indexOf(run), label: run.label, points: points.filter((_, i) => i % each === 0).map(toPoint) }] : []
      }
      x={{
        label: 'Iteration',
        domain: [Math.min(1, points[0]?.iteration ?? 1), Math.max(2, objective?.iterations ?? 2)],
        format: String,
        name: (x) => `Iteration ${x}`,
      }}
      y={{ log: true, format: format.scientific, tick: format.scientificTick }}
      table={{
        columns: ['Iteration', 'Objective', 'Relaxed'],
        rows: points.map((point) => [String(point.iteration), point.value.toExponential(3), point.relaxed ? 'yes' : '']),
      }}
    />
  )
}

const toPoint = ({ iteration, value, relaxed }: { iteration: number; value: number; relaxed: boolean }): Point => ({
  x: iteration,
  y: value,
  hollow: relaxed,
})

export function MemoryOverTime({ view }: { view: JobView }) {
  const { series, peak } = view.memory
  const mib = (held: number) => held / 2 ** 20
  const last = Math.max(1, series.at(-1)?.seconds ?? 1)
  const step =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600].find((each) => last / each <= 5) ?? Math.ceil(last / 5 / 3600) * 3600
  return (
    <Curves
      title="GPU memory held, MiB"
      note={peak > 0 ? `most so far ${format.bytes(peak)}` : '\u00a0'}
      empty="Memory held on the GPU, as it is taken and given back."
      height={130}
      legend={false}
      series={[{ index: null, label: 'Held', points: series.map(({ seconds, held }) => ({ x: seconds, y: mib(held) })) }]}
      x={{
        label: 'Time since the start',
        domain: [0, last],
        ticks: Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => i * step),
        format: (x) => (x < 60 ? `${Math.round(x)}\u202fs` : format.duration(x)),
        name: (x) => format.clock(x),
      }}
      y={{ log: false, from: 0, format: (value) => String(Number(value.toPrecision(3))) }}
      table={{
        columns: ['Time', 'Held'],
        rows: series.map(({ seconds, held }) => [format.duration(seconds), format.bytes(held)]),
      }}
    />
  )
}
