/** Side-by-side text: full precision and up to three runs continue the same prompt. */
import { useState } from 'react'
import type { Answer, TextQuestion } from '../../engine/hosts/client.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { useView, useWorkbench } from '../context.ts'
import { differences } from '../differences.ts'
import * as format from '../format.ts'
import { sharesApart } from '../../shares.ts'
import type { JobView } from '../reduce.ts'
import { Button } from './controls.tsx'
import { Field, NumberField } from './fields.tsx'
import { RunMark } from './run-mark.tsx'
import { OpenShown } from './open-shown.tsx'
import './side.css'

/** Runs beside full precision, and tokens, at most. */
const most = { runs: 3, tokens: 256 }

/** Errors of a model that is not open, or another. */
const openable = ['plan-invalid', 'journal-mismatch']

/** The first words of the text that figures are of: what the model was made to go on with. */
const promptFrom = (start = 'Once upon a time, there was a little') => start.trim().split(/\s+/).slice(0, 8).join(' ')

type Talk = { state: 'speaking' | 'over'; answers: Answer[] } | { state: 'failed'; answers: Answer[]; error: ErrorData }

export function SideBySide({ view }: { view: JobView }) {
  const kept = useView((state) => state.shown.runs)
  const why = useWhyNot(view)
  const runs = view.runs.filter(({ id, state }) => state === 'finished' && id in kept)
  const [question, setQuestion] = useState<TextQuestion>({
    prompt: promptFrom(view.evaluation?.from?.start),
    runs: runs.slice(0, most.runs).map(({ id }) => id),
    tokens: 48,
    temperature: 0,
    seed: 0,
  })
  const { talk, ask } = useTalk()
  const stop = useWorkbench().stopText
  const change = (part: Partial<TextQuestion>) => setQuestion({ ...question, ...part })
  return (
    <section className="panel side" aria-labelledby="side-title">
      <h2 id="side-title">Side-by-side text</h2>
      <p className="hint">
        Full precision and up to three runs continue the same prompt by the page’s own forward pass. Marked tokens are not those of full
        precision.
      </p>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void ask({ ...question, runs: question.runs.filter((run) => runs.some(({ id }) => id === run)) })
        }}
      >
        <Field label="Text to continue">
          {(control) => (
            <textarea
              {...control}
              className="input"
              rows={2}
              value={question.prompt}
              onChange={(event) => change({ prompt: event.target.value })}
            />
          )}
        </Field>
        {runs.length > 0 && <Picked runs={runs} picked={question.runs} onChange={(next) => change({ runs: next })} />}
        <Settings question={question} onChange={change} />
        <div className="row">
          {talk?.state === 'speaking' ? (
            <Button icon="pause" onClick={stop}>
              Stop
            </Button>
          ) : (
            <Button type="submit" icon="play" disabled={why !== null || !question.prompt.trim()}>
              Continue the text
            </Button>
          )}
          {why !== null && <span className="hint">{why}</span>}
        </div>
      </form>
      {talk && <Answers talk={talk} view={view} />}
    </section>
  )
}

/** Why nothing can be continued here; null where it can. */
function useWhyNot({ phase, runs }: JobView): string | null {
  const gpu = useView((state) => state.gpu.state)
  const recorded = useView((state) => state.recorded)
  const kept = useView((state) => state.shown.runs)
  if (phase !== 'over') return 'Once the job is over.'
  if (recorded) return 'A recording holds figures only: nothing of its runs is here to continue a text.'
  if (runs.length > 0 && !runs.some(({ id }) => id in kept)) return 'What these runs solved is not kept in this browser.'
  return gpu === 'ready' ? null : 'This needs a GPU.'
}

/** The talk with the models, token by token. */
function useTalk(): { talk: Talk | null; ask: (question: TextQuestion) => Promise<void> } {
  const workbench = useWorkbench()
  const [talk, setTalk] = useState<Talk | null>(null)
  const ask = async (question: TextQuestion) => {
    const heard = new Map<string | null, Answer>()
    const inOrder = () => [null, ...question.runs].flatMap((run) => heard.get(run) ?? [])
    setTalk({ state: 'speaking', answers: [] })
    try {
      const { answers } = await workbench.continueText(question, (answer) => {
        heard.set(answer.run, answer)
        setTalk({ state: 'speaking', answers: inOrder() })
      })
      setTalk({ state: 'over', answers })
    } catch (thrown) {
      setTalk({ state: 'failed', answers: inOrder(), error: toErrorData(thrown) })
    }
  }
  return { talk, ask }
}

function Picked({ runs, picked, onChange }: { runs: JobView['runs']; picked: string[]; onChange: (runs: string[]) => void }) {
  const full = picked.length >= most.runs
  return (
    <fieldset className="side-runs">
      <legend className="field-label">Runs</legend>
      {runs.map(({ id, label }) => (
        <label key={id}>
          <input
            type="checkbox"
            checked={picked.includes(id)}
            disabled={full && !picked.includes(id)}
            onChange={({ target }) => onChange(target.checked ? [...picked, id] : picked.filter((other) => other !== id))}
          />
          <RunMark run={id} /> {label}
        </label>
      ))}
      {full && runs.length > most.runs && <p className="hint">Three at most: leave one out to take another.</p>}
    </fieldset>
  )
}

function Settings({ question, onChange }: { question: TextQuestion; onChange: (part: Partial<TextQuestion>) => void }) {
  const within = (value: number, least: number, largest: number) => Math.min(largest, Math.max(least, value))
  return (
    <div className="side-settings">
      <Field label="Tokens">
        {(control) => (
          <NumberField
            {...control}
            whole
            min={1}
            max={most.tokens}
            value={question.tokens}
            onChange={(tokens) => onChange({ tokens: within(tokens, 1, most.tokens) })}
          />
        )}
      </Field>
      <Field label="Temperature" help="0: always the likeliest token.">
        {(control) => (
          <NumberField
            {...control}
            step={0.1}
            min={0}
            max={2}
            value={question.temperature}
            onChange={(temperature) => onChange({ temperature: within(temperature, 0, 2) })}
          />
        )}
      </Field>
      {question.temperature > 0 && (
        <Field label="Seed" help="The same chance for every model.">
          {(control) => (
            <NumberField
              {...control}
              whole
              min={0}
              max={2 ** 31}
              value={question.seed}
              onChange={(seed) => onChange({ seed: within(seed, 0, 2 ** 31) })}
            />
          )}
        </Field>
      )}
    </div>
  )
}

function Answers({ talk, view }: { talk: Talk; view: JobView }) {
  const full = talk.answers.find(({ run }) => run === null) ?? null
  return (
    <div className="side-answers" aria-live="off">
      {talk.answers.map((answer) => (
        <Spoken
          key={answer.run ?? ''}
          answer={answer}
          full={full}
          over={talk.state === 'over'}
          label={answer.run === null ? 'Full precision' : (view.runs.find(({ id }) => id === answer.run)?.label ?? answer.run)}
        />
      ))}
      {talk.state === 'speaking' && <p role="status">{talk.answers.length ? 'Speaking …' : 'Loading the weights …'}</p>}
      {talk.state === 'failed' && talk.error.code !== 'cancelled' && (
        <p className="field-problem error" role="alert">
          {talk.error.message} {talk.error.hint}
        </p>
      )}
      {talk.state === 'failed' && openable.includes(talk.error.code) && <OpenShown />}
    </div>
  )
}

function Spoken({ answer, full, over, label }: { answer: Answer; full: Answer | null; over: boolean; label: string }) {
  const { run } = answer
  const differing = full && run !== null ? differences(answer.ids, full, over) : []
  const parting = differing.indexOf(true)
  return (
    <section className="side-answer" aria-label={label} data-run={run ?? undefined}>
      <h3>
        {run !== null && <RunMark run={run} />} {label}
      </h3>
      <p className="side-text">
        {tokensOf(answer).map(({ key, word, title }) =>
          differing[key] ? (
            <mark key={key} title={title} className={key === parting ? 'parting' : ''}>
              {word}
            </mark>
          ) : (
            <span key={key} title={title}>
              {word}
            </span>
          ),
        )}
      </p>
      <p className="hint">{summary(answer, full, parting, over)}</p>
    </section>
  )
}

/** Each token at its place. */
function tokensOf({ words, probabilities }: Answer) {
  return words.map((word, key) => ({
    key,
    word,
    title: probabilities ? `Full precision gave it ${format.share(probabilities[key])}` : undefined,
  }))
}

/** In a sentence, where it parts and what full precision thinks of it. */
function summary({ run, ids, words, probabilities }: Answer, full: Answer | null, parting: number, over: boolean): string {
  const mean = probabilities && Math.exp(probabilities.reduce((sum, p) => sum + Math.log(p), 0) / probabilities.length)
  const given = mean === null ? '' : `Full precision gave its tokens ${format.share(mean)} (geometric mean).`
  if (run === null || !full) return given
  if (parting < 0) return over || full.ended ? `The same ${format.plural(ids.length, 'token')} as full precision.` : ''
  const [own, theirs] = [probabilities?.[parting], full.probabilities?.[parting]]
  const [ours, other] = own !== undefined && theirs !== undefined ? sharesApart(own, theirs) : []
  const chances = ours ? `, to which full precision gave ${ours}\u202f%; its own “${full.words[parting] ?? ''}” had ${other}\u202f%` : ''
  return `Parts at token ${parting + 1}, “${words[parting]}”${chances}. ${given}`
}
