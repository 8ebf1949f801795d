/** The check panel: forecasts of time and memory for every algorithm on the open model, here or on a device with published figures. */
import { useEffect, useState } from 'react'
import type { DryDevice } from '../../engine/job/catalog.ts'
import type { DryProgress, DryRun, Forecast } from '../../engine/job/forecast.ts'
import { heldOutShare } from '../../engine/job/job.ts'
import type { ModelSummary } from '../../engine/job/model.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { Button } from './controls.tsx'
import { Field, NumberField } from './fields.tsx'
import { Scroll } from './tables.tsx'
import { Fact } from './gpu.tsx'
import { ErrorNote } from './problems.tsx'
import './dry.css'

/** Sizes of the papers. */
const usual = { samples: 128, length: 2048 }

type Answer =
  | { state: 'none' }
  | { state: 'asked'; at: DryProgress | null }
  | { state: 'failed'; error: ErrorData }
  | { state: 'known'; run: DryRun }

export function DryPanel({ summary }: { summary: ModelSummary }) {
  const workbench = useWorkbench()
  const devices = useView((state) => state.catalog?.devices ?? [])
  const here = useView((state) =>
    state.gpu.state === 'ready' ? state.gpu.summary.name : state.gpu.state === 'missing' ? null : 'this device',
  )
  const [chosen, setId] = useState('')
  // Without a device at hand, one by its figures.
  const id = chosen || (here === null ? (devices[0]?.id ?? '') : '')
  const [samples, setSamples] = useState(usual.samples)
  const longest = summary.maxPositions ?? 2 ** 20
  const [length, setLength] = useState(Math.min(usual.length, longest))
  const [answer, setAnswer] = useState<Answer>({ state: 'none' })
  const device = devices.find((one) => one.id === id) ?? null

  const ask = async (device: DryDevice | null) => {
    setAnswer({ state: 'asked', at: null })
    try {
      const spec = { options: {}, calibration: { samples, length, heldOut: heldOutShare }, evaluation: { samples: 0, length }, device }
      setAnswer({ state: 'known', run: await workbench.dryRun(spec, (at) => setAnswer({ state: 'asked', at })) })
    } catch (thrown) {
      setAnswer({ state: 'failed', error: toErrorData(thrown) })
    }
  }
  const blank = summary.tokenizer === null
  // biome-ignore lint/correctness/useExhaustiveDependencies: without weights a check is all that can be wanted; asked for once
  useEffect(() => {
    if (blank) ask(device)
  }, [blank])

  return (
    <section className="panel dry" aria-labelledby="dry-title">
      <div className="panel-head">
        <div>
          <h2 id="dry-title">Check</h2>
          <p className="hint">
            Forecast of time and memory for each algorithm, at 3 bits with default options. Made by running the engine without computing: no
            weights are read.
          </p>
        </div>
      </div>
      <div className="dry-form">
        <Field label="Device">
          {(control) => (
            <select {...control} className="input" value={id} onChange={(event) => setId(event.target.value)}>
              {here !== null && <option value="">This one: {here}</option>}
              {devices.map((one) => (
                <option key={one.id} value={one.id}>
                  {one.label}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Calibration samples">
          {(control) => <NumberField {...control} whole value={samples} min={1} max={4096} onChange={setSamples} />}
        </Field>
        <Field label="Tokens per window">
          {(control) => <NumberField {...control} whole value={length} min={2} max={longest} onChange={setLength} />}
        </Field>
        <Button icon="check" disabled={answer.state === 'asked'} onClick={() => ask(device)}>
          Check
        </Button>
      </div>
      <div aria-live="polite">
        {answer.state === 'asked' && <Checking at={answer.at} />}
        {answer.state === 'failed' && <ErrorNote title="No forecast is possible" error={answer.error} />}
        {answer.state === 'known' && <Table run={answer.run} />}
      </div>
    </section>
  )
}

function Checking({ at }: { at: DryProgress | null }) {
  return (
    <p className="hint">
      Checking …{' '}
      {at && (
        // Where it is at would be read out at every step.
        <span aria-hidden="true">
          {at.label} ({at.done + 1} of {at.all})
        </span>
      )}
    </p>
  )
}

function Table({ run }: { run: DryRun }) {
  const { device, tensors, largest, calibration, evaluation, baseline, methods } = run
  const order = ['baseline', 'load', 'calibrate', 'solve', 'propagate', 'evaluate'] as const
  return (
    <>
      <dl className="facts wide">
        <Fact name="Device">{device.label}</Fact>
        <Fact name="Memory it may use">{format.bytes(device.memoryBudget)}</Fact>
        <Fact name="Largest binding, buffer">
          {format.bytes(device.maxBinding)}, {format.bytes(device.maxBuffer)}
        </Fact>
        <Fact name="Speed, f32">{device.gflops === null ? 'unknown' : `${format.count(Math.round(device.gflops))} GFLOP/s`}</Fact>
        <Fact name="Tensors">
          {format.count(tensors.count)}, {format.bytes(tensors.bytes)}
        </Fact>
        <Fact name="Largest weights, as f32">
          {format.bytes(largest.weight.bytes)} ({largest.weight.name})
        </Fact>
        <Fact name="Largest Gram matrix">
          {format.bytes(largest.gram.bytes)} ({largest.gram.name})
        </Fact>
        <Fact name="Tokens">
          {calibration.windows} × {calibration.length} to calibrate, {evaluation.windows} × {evaluation.length} to evaluate
        </Fact>
        <Fact name="Unquantized model">
          {format.flops(baseline.flops)}, {format.bytes(baseline.readBytes)} read, {format.duration(baseline.seconds)}
        </Fact>
      </dl>
      <p className="hint">{device.from}</p>
      <Scroll label="Forecast for each algorithm">
        <table>
          <thead>
            <tr>
              <th scope="col">Algorithm</th>
              <th scope="col" className="number">
                Work
              </th>
              <th scope="col" className="number">
                Time, about
              </th>
              <th scope="col" className="number">
                Bytes to read
              </th>
              <th scope="col" className="number">
                Checkpoint
              </th>
              <th scope="col" className="number">
                GPU, peak
              </th>
              <th scope="col" className="number">
                Host, peak
              </th>
              {order.map((stage) => (
                <th key={stage} scope="col" className="number">
                  {stage}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {methods.map(({ id, label, forecast, fits, problem, checkpointBytes }) => (
              <tr key={id}>
                <th scope="row">{label}</th>
                {forecast ? (
                  <>
                    <td className="number">{format.flops(forecast.flops.forward + forecast.flops.solve)}</td>
                    <td className="number">{format.duration(forecast.seconds)}</td>
                    <td className="number">{format.bytes(forecast.readBytes)}</td>
                    <td className="number">{checkpointBytes === null ? '–' : format.bytes(checkpointBytes)}</td>
                    <td className={`number ${fits ? '' : 'bad'}`}>
                      <b>{format.bytes(forecast.gpuBytes)}</b>
                      {!fits && ', too much'}
                    </td>
                    <td className="number">
                      {format.bytes(forecast.hostBytes)}
                      {forecast.fileBytes > 0 && ` + ${format.bytes(forecast.fileBytes)} in a file`}
                    </td>
                    {order.map((stage) => (
                      <td key={stage} className="number">
                        {format.bytes(peakOf(forecast, stage))}
                      </td>
                    ))}
                  </>
                ) : (
                  <td colSpan={6 + order.length}>
                    {problem?.message} {problem?.hint}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <p className="hint">
        The columns from baseline on are the peak GPU memory in that stage. Time counts all operations at the speed of matrix products, what
        passes between host and GPU at the speed of the bus, and files at 1 GB/s. What host memory does not hold waits in a file.
      </p>
    </>
  )
}

function peakOf({ stages }: Forecast, wanted: Forecast['stages'][number]['stage']): number {
  return stages.find(({ stage }) => stage === wanted)?.gpuBytes ?? 0
}
