/** The texts of a plan: calibration and evaluation, and their sources. */
import { useRef } from 'react'
import type { Job } from '../../engine/job/job.ts'
import type { ModelSummary } from '../../engine/job/model.ts'
import { describeText, type Sampling, type TokenCounts } from '../../engine/job/texts.ts'
import { useDone, useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { coverage, widestInput } from '../texts.ts'
import { problemsOf } from '../check.ts'
import { isError } from '../store/state.ts'
import { Field, NumberField, Switch } from './fields.tsx'
import { Said } from './controls.tsx'
import { TextField } from './text-field.tsx'
import './texts.css'

// ---------------------------------------------------------------- counts

/**
 * `counts`: undefined while the plan is being checked or when it could not be, null when something stands against the text. The last ones
 * stay, greyed, until there are others.
 */
function Counts({ counts: found, asked, all }: { counts: TokenCounts | null | undefined; asked: number; all?: boolean }) {
  const last = useRef(found)
  if (found !== undefined) last.current = found
  const traffic = useView((state) => state.traffic)
  const failed = useView((state) => state.check.state === 'failed')
  if (failed) return <p className="counts hint">Not counted: see below.</p>
  if (found === null) return <p className="counts hint">No tokens: see above.</p>
  const counts = last.current
  if (!counts) {
    const rate = traffic?.rate ? `, ${format.bytes(traffic.rate)}/s` : ''
    return <p className="counts figures">Reading the text and counting tokens …{traffic?.waiting ? ` ${traffic.waiting}` : rate}</p>
  }
  return (
    <>
      <p className={found ? 'counts figures' : 'counts figures stale'}>
        <b>
          {format.plural(counts.windows, 'window')} of {format.count(counts.length)} tokens
        </b>{' '}
        {counts.text === null ? 'from as many documents' : `from ${format.count(counts.text)} tokens of text`}
        {!all && counts.windows < asked && '; the text has no more'}
      </p>
      {counts.from && (
        <p className="help text-found" title={describeText(counts.from)}>
          {describeText(counts.from)}
        </p>
      )}
    </>
  )
}

/** Calibration tokens against the inputs of the widest layer, on a logarithmic scale around once as many; and what to do where they are few. */
function Coverage({ counts, model }: { counts: TokenCounts; model: ModelSummary }) {
  const few = problemsOf(useView((state) => state.check)).filter((each) => each.field === 'calibration.samples' && !isError(each))
  const widest = widestInput(model)
  const tokens = counts.distinct ?? counts.windows * counts.length
  const { ratio, place } = coverage(tokens, widest)
  const enough = ratio >= 1
  return (
    <div className={enough ? 'coverage' : 'coverage low'}>
      {/* biome-ignore lint/a11y/useSemanticElements: drawn like the other bars, with a mark in it */}
      <div
        className="bar"
        role="meter"
        aria-label="Calibration tokens for each input of the widest layer"
        aria-valuemin={0.1}
        aria-valuemax={100}
        aria-valuenow={Math.min(100, Math.max(0.1, ratio))}
        aria-valuetext={`${format.ratio(ratio)}`}
      >
        <span style={{ width: `${place * 100}%` }} />
        <i />
      </div>
      {few.map(({ severity, message, hint }) => (
        <Said key={message} severity={severity}>
          {message} {hint}
        </Said>
      ))}
      {few.length === 0 && (
        <p className="help figures">
          {format.count(tokens)} tokens for the {format.count(widest)} inputs of the widest layer: <b>{format.ratio(ratio)}</b>.
        </p>
      )}
    </div>
  )
}

// ---------------------------------------------------------------- cards

const samplings: { value: Sampling; label: string; help: string }[] = [
  { value: 'random', label: 'Random', help: 'Windows anywhere in the text, its documents joined.' },
  { value: 'consecutive', label: 'Consecutive', help: 'One window after the other from the start.' },
  { value: 'documents', label: 'Documents', help: 'One window each from documents longer than it, read only until there are enough.' },
]

export function CalibrationCard({ job, model }: { job: Job; model: ModelSummary }) {
  const workbench = useWorkbench()
  const done = useDone()
  const { calibration } = job
  const last = useRef(done?.calibration)
  if (done) last.current = done.calibration
  const counts = last.current
  const change = (part: Partial<typeof calibration>) => workbench.setJob({ calibration: { ...calibration, ...part } })
  return (
    <section className="panel" aria-labelledby="calibration-title">
      <h2 id="calibration-title" title="The methods minimize the error of the layers on the activations of this text.">
        Calibration
      </h2>
      <TextField purpose="calibration" label="Text" choice={calibration} model={model} />
      <div className="fields">
        <Field label="Samples" help="More is more reliable and slower." path="calibration.samples" errorsOnly>
          {(control) => <NumberField {...control} whole value={calibration.samples} onChange={(samples) => change({ samples })} />}
        </Field>
        <Field label="Length" help="Tokens per sample." path="calibration.length">
          {(control) => <NumberField {...control} whole value={calibration.length} onChange={(length) => change({ length })} />}
        </Field>
        <Field label="Sampling" help={samplings.find(({ value }) => value === calibration.sampling)?.help} path="calibration.sampling">
          {(control) => (
            <select
              {...control}
              className="input"
              value={calibration.sampling}
              onChange={(event) => change({ sampling: event.target.value as Sampling })}
            >
              {samplings.map(({ value, label }) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field
          label="Held out, %"
          help="Windows from other places of the text, as a share of the samples, which the methods do not see: errors are measured on them too. 0: none."
          path="calibration.heldOut"
        >
          {(control) => (
            <NumberField
              {...control}
              value={Number((100 * (calibration.heldOut ?? 0)).toPrecision(3))}
              min={0}
              max={100}
              onChange={(percent) => change({ heldOut: percent / 100 })}
            />
          )}
        </Field>
        <Field label="Seed" help="The same seed draws the same windows." path="seed">
          {(control) => <NumberField {...control} whole value={job.seed} onChange={(seed) => workbench.setJob({ seed })} />}
        </Field>
      </div>
      <Counts counts={done?.calibration} asked={calibration.samples} />
      {counts && <Coverage counts={counts} model={model} />}
    </section>
  )
}

export function EvaluationCard({ job, model, measuring }: { job: Job; model: ModelSummary; measuring: boolean }) {
  const workbench = useWorkbench()
  const done = useDone()
  const { evaluation, lambada } = job
  const halves = useView(({ gpu }) => gpu.state === 'ready' && gpu.summary.f16)
  const change = (part: Partial<typeof evaluation>) => workbench.setJob({ evaluation: { ...evaluation, ...part } })
  return (
    <section className="panel" aria-labelledby="evaluation-title">
      <div className="panel-head">
        <h2 id="evaluation-title" title="Perplexity is measured on this text, in windows that do not overlap.">
          Evaluation
        </h2>
        <Field
          label="Last words"
          help="Also measure how often the model predicts the last word of a passage, as in LAMBADA."
          path="lambada"
        >
          {(control) => <Switch {...control} checked={lambada !== undefined} onChange={workbench.measureLastWords} />}
        </Field>
      </div>
      <TextField purpose="evaluation" label="Text" choice={evaluation} model={model} />
      <div className="fields">
        <Field label="Windows" help="At most so many; 0: the whole text." path="evaluation.samples">
          {(control) => <NumberField {...control} whole value={evaluation.samples} onChange={(samples) => change({ samples })} />}
        </Field>
        <Field label="Length" help="Tokens per window." path="evaluation.length">
          {(control) => <NumberField {...control} whole value={evaluation.length} onChange={(length) => change({ length })} />}
        </Field>
        {!measuring && (
          <Field
            label="Every n blocks"
            help={`Perplexity is measured with the first n, 2n, … blocks quantized and the rest in full precision. 0: only at the end, after all ${model.blocks}.`}
            path="perplexityEvery"
          >
            {(control) => (
              <NumberField
                {...control}
                whole
                value={job.perplexityEvery}
                onChange={(perplexityEvery) => workbench.setJob({ perplexityEvery })}
              />
            )}
          </Field>
        )}
        {(halves || evaluation.products === 'f16') && (
          <Field
            label="Inputs in f16"
            help="Linears read their inputs in 16 bits and sum in 32, where the model as it is then diverges by no more than 1e-5 nats. Calibration and solvers stay in f32."
            path="evaluation.products"
          >
            {(control) => (
              <Switch
                {...control}
                checked={evaluation.products === 'f16'}
                onChange={(on) => change({ products: on ? 'f16' : undefined })}
              />
            )}
          </Field>
        )}
      </div>
      {lambada && (
        <div className="last-words">
          <TextField purpose="lambada" label="Passages" choice={lambada} model={model} />
          <div className="fields">
            <Field label="Most passages" help="0: all. Published figures use all 5,153." path="lambada.passages">
              {(control) => (
                <NumberField
                  {...control}
                  whole
                  value={lambada.passages}
                  onChange={(passages) => workbench.setJob({ lambada: { ...lambada, passages } })}
                />
              )}
            </Field>
          </div>
        </div>
      )}
      <Counts counts={done?.evaluation} asked={evaluation.samples} all={evaluation.samples === 0} />
      {done?.passages !== undefined && <p className="figures">{format.plural(done.passages, 'passage')} for last-word accuracy</p>}
      {done?.passagesFrom && <p className="help text-found">{describeText(done.passagesFrom)}</p>}
    </section>
  )
}
