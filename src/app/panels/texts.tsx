/** The texts of a plan: calibration and evaluation, and their sources. */
import { describeText, type Job, type ModelSummary, type Sampling, type TokenCounts } from '../../engine/job.ts'
import { useDone, useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { coverage, widestInput } from '../texts.ts'
import { Choice, Field, NumberField, Switch } from './controls.tsx'
import { TextField } from './text-field.tsx'
import './texts.css'

// ---------------------------------------------------------------- counts

/** `counts`: undefined while the plan is being checked or when it could not be, null when something stands against the text. */
function Counts({ counts, asked, all }: { counts: TokenCounts | null | undefined; asked: number; all?: boolean }) {
  const traffic = useView((state) => state.traffic)
  const failed = useView((state) => state.check.state === 'failed')
  if (failed) return <p className="counts hint">Not counted: see below.</p>
  if (counts === null) return <p className="counts hint">No tokens: see above.</p>
  if (!counts) {
    const rate = traffic?.rate ? `, ${format.bytes(traffic.rate)}/s` : ''
    return <p className="counts figures">Reading the text and counting tokens …{traffic?.waiting ? ` ${traffic.waiting}` : rate}</p>
  }
  return (
    <>
      <p className="counts figures">
        <b>
          {format.plural(counts.windows, 'window')} of {format.count(counts.length)} tokens
        </b>{' '}
        {counts.text === null ? 'from as many documents' : `from ${format.count(counts.text)} tokens of text`}
        {!all && counts.windows < asked && '; the text has no more'}
      </p>
      {counts.from && <p className="help text-found">{describeText(counts.from)}</p>}
    </>
  )
}

/** Calibration tokens against the inputs of the widest layer, on a logarithmic scale around once as many. */
function Coverage({ counts, model }: { counts: TokenCounts; model: ModelSummary }) {
  const widest = widestInput(model)
  const tokens = counts.windows * counts.length
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
      <p className="help figures">
        {format.count(tokens)} tokens for the {format.count(widest)} inputs of the widest layer: <b>{format.ratio(ratio)}</b>.
        {/* Of too few the plan's own warning says what they do. */}
        {enough && ' More of them give a more reliable Gram matrix Σ.'}
      </p>
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
  const change = (part: Partial<typeof calibration>) => workbench.setJob({ calibration: { ...calibration, ...part } })
  return (
    <section className="panel" aria-labelledby="calibration-title">
      <h2 id="calibration-title">Calibration</h2>
      <p className="help">The methods minimize the error of the layers on the activations of this text.</p>
      <TextField purpose="calibration" label="Text" choice={calibration} model={model} />
      <div className="fields">
        <Field label="Samples" help="More is more reliable and slower." path="calibration.samples">
          {(control) => <NumberField {...control} whole value={calibration.samples} onChange={(samples) => change({ samples })} />}
        </Field>
        <Field label="Window length" help="Tokens per sample." path="calibration.length">
          {(control) => <NumberField {...control} whole value={calibration.length} onChange={(length) => change({ length })} />}
        </Field>
        <Field
          label="Sampling"
          group
          help={samplings.find(({ value }) => value === calibration.sampling)?.help}
          path="calibration.sampling"
        >
          {() => <Choice name="sampling" value={calibration.sampling} choices={samplings} onChange={(sampling) => change({ sampling })} />}
        </Field>
        <Field
          label="Held out, % of the samples"
          help="Windows from other places of the text, which the methods do not see: errors are measured on them too. 0: none."
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
      {done?.calibration && <Coverage counts={done.calibration} model={model} />}
    </section>
  )
}

export function EvaluationCard({ job, model, measuring }: { job: Job; model: ModelSummary; measuring: boolean }) {
  const workbench = useWorkbench()
  const done = useDone()
  const { evaluation, lambada } = job
  const change = (part: Partial<typeof evaluation>) => workbench.setJob({ evaluation: { ...evaluation, ...part } })
  return (
    <section className="panel" aria-labelledby="evaluation-title">
      <h2 id="evaluation-title">Evaluation</h2>
      <p className="help">Perplexity is measured on this text, in windows that do not overlap.</p>
      <TextField purpose="evaluation" label="Text" choice={evaluation} model={model} />
      <div className="fields">
        <Field label="Most windows" help="0: the whole text." path="evaluation.samples">
          {(control) => <NumberField {...control} whole value={evaluation.samples} onChange={(samples) => change({ samples })} />}
        </Field>
        <Field label="Window length" help="In tokens." path="evaluation.length">
          {(control) => <NumberField {...control} whole value={evaluation.length} onChange={(length) => change({ length })} />}
        </Field>
        {!measuring && (
          <Field
            label="Perplexity every n blocks"
            help={`With the first blocks quantized and the rest in full precision. 0: only at the end, after all ${model.blocks}.`}
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
        <Field label="Last-word accuracy" help="How often the model predicts the last word of a passage, as in LAMBADA." path="lambada">
          {(control) => <Switch {...control} checked={lambada !== undefined} onChange={workbench.measureLastWords} />}
        </Field>
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
