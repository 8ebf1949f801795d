/** Linears of a run that have a grid of their own or stay in full precision: by pattern, or by the linears of the model. */
import { useEffect, useState } from 'react'
import type { RunSpec } from '../../engine/job/job.ts'
import type { OptionSpec } from '../../options.ts'
import { overrideText, parseOverride } from '../../overrides.ts'
import { toErrorData } from '../../errors.ts'
import { useDone, useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { isError } from '../store/state.ts'
import { problemsOf } from '../check.ts'
import { Field } from './fields.tsx'
import { Said } from './controls.tsx'

/** One a line, as the command line takes them; the reason where one cannot be read. */
function read(text: string, specs: readonly OptionSpec[]) {
  try {
    const lines = text.split('\n').filter((line) => line.trim())
    return { overrides: lines.map((line) => parseOverride(line, specs)), refused: null }
  } catch (thrown) {
    const { message, hint } = toErrorData(thrown)
    return { overrides: null, refused: `${message} ${hint}`.trim() }
  }
}

export function Overrides({ run, path, specs }: { run: RunSpec; path: string; specs: readonly OptionSpec[] }) {
  const workbench = useWorkbench()
  const check = useView((state) => state.check)
  const linears = useView(({ model }) => (model.state === 'ready' ? model.summary.linears : null))
  const own = useDone()?.runs.find(({ id }) => id === run.id)?.own.length
  const [draft, setDraft] = useState<string | null>(null)
  const said = (run.overrides ?? []).map(overrideText).join('\n')
  const refused = draft === null ? null : read(draft, specs).refused
  useEffect(() => {
    if (!refused) return
    workbench.holdStart(path, true)
    return () => workbench.holdStart(path, false)
  }, [workbench, path, refused])
  const type = (text: string) => {
    setDraft(text)
    const { overrides } = read(text, specs)
    if (overrides) workbench.setOverrides(run.id, overrides)
  }
  const add = (linear: string) => type(`${(draft ?? said).replace(/\n?$/, (end) => (draft || said ? '\n' : end))}${linear}:keep`)
  const problems = problemsOf(check).filter(({ field }) => field?.startsWith(`${path}`))
  return (
    <Field
      label="Other bits for some linears"
      help="One a line: a pattern of module paths and what holds there, like down_proj:bits=4, layers.{0..1}:bits=8,group-size=32, or lm.*.v_proj:keep for full precision. The first that matches counts. Press a linear to add a line for it."
    >
      {(control) => (
        <>
          <textarea
            {...control}
            className="input overrides"
            rows={Math.min(6, Math.max(2, (draft ?? said).split('\n').length))}
            spellCheck={false}
            placeholder="down_proj:bits=4"
            value={draft ?? said}
            aria-invalid={refused !== null || problems.some(isError) || undefined}
            onChange={(event) => type(event.target.value)}
            onBlur={() => !refused && setDraft(null)}
          />
          {refused && <Said severity="error">{refused}</Said>}
          {!refused &&
            problems.map(({ severity, message, hint }) => (
              <Said key={message} severity={severity}>
                {message} {hint}
              </Said>
            ))}
          <span className="row override-linears">
            {linears?.map(({ name }) => (
              <button key={name} type="button" className="button" onClick={() => add(name)}>
                {name.split('.').at(-1)}
              </button>
            ))}
            {own ? <span className="hint">{format.plural(own, 'linear')} of its own</span> : null}
          </span>
        </>
      )}
    </Field>
  )
}
