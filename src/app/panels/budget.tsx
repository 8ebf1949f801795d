/** A budget for a run: a slider of bits per weight or size, the mixture of widths that fills it, and the uniform widths beside. */
import { useEffect, useId, useState } from 'react'
import type { Job, RunSpec } from '../../engine/job/job.ts'
import {
  type Budget,
  type ForeseenKl,
  foreseenAt,
  foreseenKl,
  type Mix,
  mixInWords,
  type MixWidths,
  widthInWords,
} from '../../engine/job/mix.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { isMixOf, sliderOf } from '../mix.ts'
import { isBusy, type Mixing } from '../store/state.ts'
import { Button } from './controls.tsx'
import { Choice } from './fields.tsx'
import { Icon } from './icons.tsx'
import { Scroll } from './tables.tsx'
import './budget.css'

type Unit = keyof MixWidths

/** Milliseconds without a change before a budget is filled anew. */
const SETTLED = 250

export function BudgetOf({ run, job }: { run: RunSpec; job: Job }) {
  const [open, setOpen] = useState(false)
  return (
    <details className="more" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Bits within a budget</summary>
      {open && (
        <div className="budget">
          <Filling run={run} job={job} />
        </div>
      )}
    </details>
  )
}

function Filling({ run, job }: { run: RunSpec; job: Job }) {
  const workbench = useWorkbench()
  const [unit, setUnit] = useState<Unit>('bitsPerWeight')
  // Each in its own unit, so that a look at the other changes nothing.
  const [wished, setWished] = useState<Partial<Record<Unit, number>>>({})
  const [widths, setWidths] = useState<MixWidths | ErrorData | null>(null)
  const asked = JSON.stringify({ ...run, overrides: [] })
  useEffect(() => {
    let mine = true
    const { id, label, method, options } = JSON.parse(asked) as RunSpec
    workbench.widths({ id, label, method, options }).then(
      (found) => mine && setWidths(found),
      (thrown) => mine && setWidths(toErrorData(thrown)),
    )
    return () => {
      mine = false
    }
  }, [workbench, asked])
  if (!widths) return <p className="hint">Looking what widths there are …</p>
  if ('code' in widths) return <Refused {...widths} />
  return (
    <>
      <p className="hint">
        Which linears get more bits and which fewer: from one calibration, what each width of each linear costs, and the mixture that costs
        least within the budget.
      </p>
      <Choice
        name="budget-unit"
        value={unit}
        choices={[
          { value: 'bitsPerWeight', label: 'Bits per weight' },
          { value: 'bytes', label: 'Size of the checkpoint' },
        ]}
        onChange={setUnit}
      />
      <Slider
        run={run}
        job={job}
        unit={unit}
        widths={widths[unit]}
        wished={wished[unit]}
        onWish={(size) => setWished({ ...wished, [unit]: size })}
      />
    </>
  )
}

const shownSize = (unit: Unit, size: number) => (unit === 'bytes' ? format.bytes(size) : `${format.bitsPerWeight(size)} bits`)

interface SliderProps {
  run: RunSpec
  job: Job
  unit: Unit
  widths: MixWidths[Unit]
  wished: number | undefined
  onWish: (size: number) => void
}

function Slider({ run, job, unit, widths, wished, onWish }: SliderProps) {
  const workbench = useWorkbench()
  const id = useId()
  const busy = useView(isBusy)
  const sound = useView(({ check }) => check.state === 'done')
  const mix = useView((state) => (state.mix?.run === run.id ? state.mix : null))
  const measuring = useView((state) => state.mix?.state === 'measuring')
  const { low, high, step, at, value } = sliderOf(unit, widths, wished)
  const current = mix !== null && isMixOf(mix.of, job)
  const known = current && mix.state === 'found'
  const budget: Budget = unit === 'bytes' ? { bytes: value } : { bitsPerWeight: value }
  const refused = current && mix.state === 'failed' && mix.budget[unit] === value ? mix.error : null
  const filled = known && (mix.found.budget[unit] ?? null) === value
  useEffect(() => {
    if (!known || filled) return
    const due = setTimeout(() => workbench.findMix(run, unit === 'bytes' ? { bytes: value } : { bitsPerWeight: value }), SETTLED)
    return () => clearTimeout(due)
  }, [workbench, run, known, filled, unit, value])
  return (
    <>
      <div className="budget-slider">
        <label htmlFor={id}>
          At most <b className="figures">{shownSize(unit, value)}</b>
        </label>
        <input
          id={id}
          type="range"
          min={low}
          max={high}
          step={step}
          value={at}
          list={`${id}-widths`}
          aria-valuetext={shownSize(unit, value)}
          onChange={(event) => onWish(Number(event.target.value))}
        />
        <datalist id={`${id}-widths`}>
          {widths.map(({ options, size }) => (
            <option key={size} value={size} label={widthInWords(options)} />
          ))}
        </datalist>
        <span className="budget-ends hint">
          <span>
            {widthInWords(widths[0].options)}, {shownSize(unit, widths[0].size)}
          </span>
          <span>
            {widthInWords(widths.at(-1)!.options)}, {shownSize(unit, widths.at(-1)!.size)}
          </span>
        </span>
      </div>
      {refused && <Refused {...refused} />}
      {mix?.state === 'stopped' && (
        <p className="hint">Measuring was stopped, since the plan was changed: what it would have found was for the plan before.</p>
      )}
      {mix?.state === 'measuring' ? (
        <Measuring mix={mix} />
      ) : (
        !known && (
          <Button icon="play" disabled={busy || measuring || !sound} onClick={() => workbench.findMix(run, budget)}>
            Find the mixture
          </Button>
        )
      )}
      {known && <Found run={run} mix={mix.found} unit={unit} widths={widths} stale={!filled} />}
    </>
  )
}

function Measuring({ mix: { stopping, place, progress } }: { mix: Extract<Mixing, { state: 'measuring' }> }) {
  const workbench = useWorkbench()
  const what = place?.stage === 'propagate' ? 'what errors cost at the end of the model' : 'the error of each linear at each width'
  if (stopping) return <p className="hint">Stopping, since the plan was changed …</p>
  return (
    <p className="row">
      <Button icon="cancel" onClick={workbench.stopMix}>
        Stop
      </Button>
      <span className="hint">
        Measuring {what}
        {place?.block != null && `, block ${place.block + 1}`} …{progress && ` ${format.percent(progress.done)}`}
        {progress?.eta != null && `, about ${format.duration(progress.eta)} left`}
      </span>
    </p>
  )
}

function Found({ run, mix, unit, widths, stale }: { run: RunSpec; mix: Mix; unit: Unit; widths: MixWidths[Unit]; stale: boolean }) {
  const workbench = useWorkbench()
  const beside = mix.uniform.length
  return (
    <div className={stale ? 'budget stale' : 'budget'}>
      <Scroll label="The mixture and uniform widths">
        <table aria-label="The mixture and uniform widths">
          <thead>
            <tr>
              <th scope="col">Linears</th>
              <th scope="col" className="number">
                {unit === 'bytes' ? 'Checkpoint' : 'Bits per weight'}
              </th>
              <th scope="col" className="number">
                KL, estimated
              </th>
            </tr>
          </thead>
          <tbody>
            <tr>
              <th scope="row" className="budget-words">
                {mixInWords(mix)}
              </th>
              <td className="number">{shownSize(unit, mix.size)}</td>
              <td className="number">{estimate(foreseenKl(mix, mix.predicted))}</td>
            </tr>
            {widths.map(({ options, size }) => (
              <tr key={size}>
                <th scope="row">all at {widthInWords(options)}</th>
                <td className="number">{shownSize(unit, size)}</td>
                <td className="number">{estimate(foreseenAt(mix, options))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <p className="hint">
        Estimates from single groups of linears: good for comparing widths, but off by a factor of two or so. The plan measures them.
      </p>
      <Button icon="check" disabled={stale} onClick={() => workbench.takeMix(run.id, mix)}>
        Take it, beside {beside === 1 ? 'the uniform run' : `${beside} uniform runs`}
      </Button>
    </div>
  )
}

const estimate = (foreseen: ForeseenKl | null) => (foreseen ? `≈ ${format.divergence(foreseen.kl)}` : format.divergence(null))

function Refused({ message, hint }: Pick<ErrorData, 'message' | 'hint'>) {
  return (
    <p className="field-problem error">
      <Icon name="warning" />
      <span>
        {message} {hint}
      </span>
    </p>
  )
}
