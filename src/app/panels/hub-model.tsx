/** A model on the Hub before it is opened: facts, revisions, and what to do when it cannot be read. */
import { useId } from 'react'
import { hubUrl } from '../../engine/hosts/client.ts'
import type { HubModel } from '../../engine/job/hub.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { type HubPlace, isBusy, isError, type Look } from '../store/state.ts'
import { Button } from './controls.tsx'
import { Fact } from './gpu.tsx'
import { ErrorNote, ProblemList } from './problems.tsx'

const { host } = new URL(hubUrl)
const pageOf = (repo: string) => `${hubUrl}/${repo}`

export function Looked({ look }: { look: Look }) {
  const workbench = useWorkbench()
  const waiting = useView((state) => state.traffic?.waiting ?? null)
  switch (look.state) {
    case 'asking':
      return (
        <div className="looked" aria-busy="true">
          <h3>{look.repo}</h3>
          <p className="hint" role="status">
            {waiting ?? `Asking ${host} what it is …`}
          </p>
          <div className="bar indeterminate" role="progressbar" aria-label="Asking the Hub" />
        </div>
      )
    case 'failed':
      return (
        <ErrorNote title={`Cannot look at ${look.repo}`} error={look.error} onClose={workbench.stopLooking}>
          <Remedies place={look} code={look.error.code} again={() => workbench.lookAt(look.repo, revisionOf(look))} />
        </ErrorNote>
      )
    case 'known':
      return <Card model={look.model} />
  }
}

/** The text may have named the revision itself. */
const revisionOf = ({ revision }: HubPlace) => (revision === 'main' ? undefined : revision)

function Card({ model }: { model: HubModel }) {
  const workbench = useWorkbench()
  const busy = useView(isBusy)
  const gpu = useView((state) => (state.gpu.state === 'ready' ? state.gpu.summary : null))
  const { source, problems, conversions, parameters } = model
  const denied = problems.find(({ code }) => code === 'hub-denied')
  const large = gpu && parameters !== null && parameters > gpu.fitsParameters
  return (
    <section className="looked" aria-label={source.repo}>
      <div className="panel-head">
        <h3>
          <a href={pageOf(source.repo)} target="_blank" rel="noreferrer">
            {source.repo}
          </a>
          <Access gated={model.gated !== false} secret={model.private} />
        </h3>
        <Button kind="quiet" icon="cancel" aria-label={`Close ${source.repo}`} onClick={workbench.stopLooking} />
      </div>
      <dl className="facts wide">
        <Fact name="Family">{model.familyLabel ?? (model.modelType ? `${model.modelType} (not supported)` : 'unknown')}</Fact>
        <Fact name="Parameters">{parameters === null ? 'unknown' : format.parameters(parameters)}</Fact>
        <Fact name="Safetensors">{model.bytes ? format.bytes(model.bytes) : 'none at this revision'}</Fact>
        <Fact name="Licence">{model.license ?? 'not given'}</Fact>
        <Fact name="Access">{accessOf(model)}</Fact>
        <Fact name="Downloads">{format.count(model.downloads)}</Fact>
      </dl>
      <Revisions model={model} />
      <ProblemList
        label={`Problems of ${source.repo}`}
        problems={[
          ...problems,
          ...(large
            ? [
                {
                  severity: 'warning' as const,
                  code: 'note' as const,
                  message: `This GPU probably fits models up to about ${format.parameters(gpu.fitsParameters)} parameters.`,
                  hint: 'The plan shows exactly what a run needs.',
                },
              ]
            : []),
        ]}
      />
      {conversions.length > 0 && (
        <div className="row">
          {conversions.slice(0, 3).map(({ name, bytes }) => (
            <Button key={name} onClick={() => workbench.lookAt(source.repo, name)}>
              {`Use the conversion in ${name}, ${format.bytes(bytes)}`}
            </Button>
          ))}
        </div>
      )}
      <div className="row">
        <Button
          kind="primary"
          disabled={busy || problems.some(isError)}
          onClick={() => workbench.open({ kind: 'hub', repo: source.repo, revision: source.ref })}
        >
          Open this model
        </Button>
        {denied && (
          <Remedies
            place={{ repo: source.repo, revision: source.ref }}
            code={denied.code}
            again={() => workbench.lookAt(source.repo, source.ref)}
          />
        )}
        {busy && <span className="hint">A job is running; another model can be opened when it is over.</span>}
      </div>
    </section>
  )
}

function accessOf({ gated, private: secret, problems }: HubModel): string {
  if (gated) {
    const how = gated === 'manual' ? 'its owner decides who may read it' : 'granted to all who ask'
    return problems.some(({ code }) => code === 'hub-denied') ? `gated: ${how}` : 'gated, you have access'
  }
  return secret ? 'private, you have access' : 'open to all'
}

/** Branches, tags, and pull requests, with those among them that bring safetensors. */
function Revisions({ model }: { model: HubModel }) {
  const workbench = useWorkbench()
  const id = useId()
  const { source, revisions, conversions } = model
  const converted = new Map(conversions.map(({ name, bytes }) => [name, bytes]))
  const groups = [
    { label: 'Branches', refs: revisions.branches },
    { label: 'Tags', refs: revisions.tags },
    { label: 'Pull requests', refs: revisions.pulls },
  ].filter(({ refs }) => refs.length)
  const named = groups.some(({ refs }) => refs.some(({ name }) => name === source.ref))
  return (
    <div className="row revision">
      <label className="field-label" htmlFor={id}>
        Revision
      </label>
      <select id={id} className="input" value={source.ref} onChange={(event) => workbench.lookAt(source.repo, event.target.value)}>
        {!named && <option value={source.ref}>{source.ref}</option>}
        {groups.map(({ label, refs }) => (
          <optgroup key={label} label={label}>
            {refs.map(({ name }) => (
              <option key={name} value={name}>
                {name}
                {converted.has(name) && `, safetensors of ${format.bytes(converted.get(name)!)}`}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
      <span className="hint">
        commit <code title={source.revision}>{source.revision.slice(0, 8)}</code>
      </span>
    </div>
  )
}

export function Access({ gated, secret }: { gated: boolean; secret: boolean }) {
  return (
    <>
      {gated && ' '}
      {gated && <span className="tag">gated</span>}
      {secret && ' '}
      {secret && <span className="tag">private</span>}
    </>
  )
}

/** What helps against an error of the Hub. */
export function Remedies({ place, code, again }: { place: HubPlace; code: string; again: () => void }) {
  const workbench = useWorkbench()
  const account = useView((state) => state.account)
  const denied = code === 'hub-denied'
  return (
    <>
      {denied && (
        <a className="button plain" href={pageOf(place.repo)} target="_blank" rel="noreferrer">
          Request access on {host}
        </a>
      )}
      {!account && (denied || code === 'hub-missing') && <Button onClick={() => workbench.showSignIn(true)}>Sign in</Button>}
      {(account || !denied) && <Button onClick={again}>Try again</Button>}
    </>
  )
}
