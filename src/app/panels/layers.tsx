/** The layer table: one row per linear, which expands to all details. */
import { memo, useId, useState } from 'react'
import { bitsPerWeight, type LayerResult } from '../../engine/job/result.ts'
import { shortName } from '../charts/names.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { bestAtEqualStorage } from '../judge.ts'
import type { JobView } from '../reduce.ts'
import { Bits } from './bits.tsx'
import { Button } from './controls.tsx'
import { Choice, Switch } from './fields.tsx'
import { Icon } from './icons.tsx'
import { RunMark } from './run-mark.tsx'
import { Ends } from './ends.tsx'
import { Scroll, usePages } from './tables.tsx'
import './layers.css'

/** With more runs than this, times are found in the opened row only. */
const withTimes = 3

export function LayerTable({ view }: { view: JobView }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const [filtered, setFiltered] = useState(false)
  const byRun = view.runs.map((run) => new Map(run.layers.map((layer) => [layer.name, layer])))
  const solved = view.layers.filter((name) => byRun.some((layers) => layers.has(name)))
  const noted = new Set(view.runs.flatMap((run) => run.layers.filter((layer) => layer.notes.length).map(({ name }) => name)))
  const onlyNoted = filtered && noted.size > 0
  const pages = usePages(onlyNoted ? solved.filter((name) => noted.has(name)) : solved, 70)
  const look = { timed: view.runs.length <= withTimes, noted: noted.size > 0 }
  const toggle = (name: string) =>
    setOpen((known) => (known.has(name) ? new Set([...known].filter((other) => other !== name)) : new Set([...known, name])))
  return (
    <section className="panel layers" aria-labelledby="layers-title">
      <div className="panel-head">
        <h2 id="layers-title">Layers</h2>
        <div className="row">
          {noted.size > 0 && <OnlyNoted count={noted.size} on={onlyNoted} onChange={setFiltered} />}
          <ErrorUnitChoice />
        </div>
      </div>
      {solved.length === 0 ? (
        <p className="hint">Every linear gets a row here once it is solved: its shape, error, time, and anything unusual.</p>
      ) : (
        <Scroll label="Layer table">
          <table className="sticky">
            <Head view={view} look={look} />
            <tbody>
              {pages.rows.map((name) => (
                <Row
                  key={name}
                  view={view}
                  look={look}
                  name={name}
                  layers={byRun.map((known) => known.get(name))}
                  open={open.has(name)}
                  onToggle={() => toggle(name)}
                />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {pages.controls}
      <Ends view={view} />
    </section>
  )
}

function OnlyNoted({ count, on, onChange }: { count: number; on: boolean; onChange: (on: boolean) => void }) {
  const id = useId()
  return (
    <span className="row">
      <Switch id={id} checked={on} onChange={onChange} />
      <label htmlFor={id}>Only layers with notes ({count})</label>
    </span>
  )
}

function ErrorUnitChoice() {
  const workbench = useWorkbench()
  const unit = useView((state) => state.preferences.errorUnit)
  return (
    <Choice
      name="error-unit"
      value={unit}
      choices={[
        { value: 'fraction', label: '0.010' },
        { value: 'percent', label: '1.00 %' },
      ]}
      onChange={(errorUnit) => workbench.prefer({ errorUnit })}
    />
  )
}

/** Which columns there are beside those of every table. */
interface Look {
  timed: boolean
  noted: boolean
}

function Head({ view, look }: { view: JobView; look: Look }) {
  return (
    <thead>
      <tr>
        <th scope="col">Linear</th>
        {look.noted && <th scope="col">Notes</th>}
        <th scope="col" className="number">
          Shape
        </th>
        {view.runs.map((run) => (
          <th key={run.id} scope="col" data-run={run.id} className="number">
            <RunMark run={run.id} />
            {'\u00a0'}
            {run.label}
          </th>
        ))}
        {look.timed &&
          view.runs.map((run) => (
            <th key={run.id} scope="col" data-run={run.id} className="number">
              <RunMark run={run.id} /> <span className="sr">{run.label} </span>time
            </th>
          ))}
      </tr>
    </thead>
  )
}

interface RowProps {
  view: JobView
  look: Look
  name: string
  /** Of each run, as far as it is solved. */
  layers: (LayerResult | undefined)[]
  open: boolean
  onToggle: () => void
}

/** Drawn again only when a run has solved its linear, or it is opened. */
const Row = memo(
  LinearRow,
  (a, b) =>
    a.name === b.name &&
    a.open === b.open &&
    a.look.timed === b.look.timed &&
    a.look.noted === b.look.noted &&
    a.layers.length === b.layers.length &&
    a.layers.every((layer, i) => layer === b.layers[i] && a.view.runs[i].label === b.view.runs[i].label),
)

function LinearRow({ view, look, name, layers, open, onToggle }: RowProps) {
  const workbench = useWorkbench()
  const first = layers.find((layer) => layer)!
  const notes = layers.reduce((sum, layer) => sum + (layer?.notes.length ?? 0), 0)
  const columns = 2 + Number(look.noted) + view.runs.length * (look.timed ? 2 : 1)
  return (
    <>
      <tr>
        <td className="path">
          <div className="linear-name">
            <button type="button" className="expand" aria-expanded={open} onClick={onToggle}>
              <Icon name={open ? 'down' : 'next'} />
              <span>{shortName(name)}</span>
            </button>
            <Button kind="quiet" icon="open" aria-label={`Open ${shortName(name)}`} onClick={() => workbench.openLinear(name)} />
          </div>
        </td>
        {look.noted && (
          <td>
            {notes > 0 && (
              <Button
                kind="quiet"
                className="notes"
                icon="warning"
                aria-expanded={open}
                aria-label={`${format.plural(notes, 'note')} on ${shortName(name)}`}
                onClick={onToggle}
              >
                {format.plural(notes, 'note')}
              </Button>
            )}
          </td>
        )}
        <td className="number">{format.shape(first.shape)}</td>
        <Figures view={view} layers={layers} timed={look.timed} />
      </tr>
      {open && (
        <tr className="opened">
          <td colSpan={columns}>
            <Known view={view} name={name} layers={layers} />
          </td>
        </tr>
      )}
    </>
  )
}

/** Errors of all runs, then their times. */
function Figures({ view, layers, timed }: Pick<RowProps, 'view' | 'layers'> & { timed: boolean }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const best = bestAtEqualStorage(
    layers.map((layer, i) => ({
      run: view.runs[i].id,
      bitsPerWeight: layer ? bitsPerWeight([layer]) : 0,
      value: layer?.relativeError ?? null,
    })),
  )
  return (
    <>
      {layers.map((layer, i) => (
        <td key={view.runs[i].id} data-run={view.runs[i].id} className={`number ${best.has(view.runs[i].id) ? 'best' : ''}`}>
          {layer && layer.notes.length > 0 && (
            <span className="noted">
              <span aria-hidden="true">!</span>
              <span className="sr">has notes</span>
            </span>
          )}{' '}
          {layer ? format.relativeError(layer.relativeError, unit) : ''}
        </td>
      ))}
      {timed &&
        layers.map((layer, i) => (
          <td key={view.runs[i].id} data-run={view.runs[i].id} className="number">
            {layer ? format.duration(layer.seconds) : ''}
          </td>
        ))}
    </>
  )
}

/** Everything about one linear, run by run. */
export function Known({ view, name, layers }: { view: JobView; name: string; layers: (LayerResult | undefined)[] }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const heldOut = layers.some((layer) => layer?.heldOutError !== undefined)
  const aimed = layers.some((layer) => layer?.aim)
  return (
    <div className="known">
      <table aria-label={`Details of ${shortName(name)}`}>
        <thead>
          <tr>
            <th scope="col">Run</th>
            <th scope="col" className="number">
              Error
            </th>
            {heldOut && (
              <th scope="col" className="number">
                Held out
              </th>
            )}
            {aimed && (
              <th scope="col" className="number">
                Damping, correction
              </th>
            )}
            <th scope="col" className="number">
              Time
            </th>
            <th scope="col" className="number">
              Sweeps
            </th>
            <th scope="col" className="number">
              Bits per weight
            </th>
          </tr>
        </thead>
        <tbody>
          {layers.map(
            (layer, i) =>
              layer && (
                <tr key={view.runs[i].id}>
                  <th scope="row">
                    <RunMark run={view.runs[i].id} />
                    {'\u00a0'}
                    {view.runs[i].label}
                  </th>
                  <td className="number">{format.relativeError(layer.relativeError, unit)}</td>
                  {heldOut && <td className="number">{format.relativeError(layer.heldOutError ?? null, unit)}</td>}
                  {aimed && <td className="number">{layer.aim ? `λ ${layer.aim.damping}, α ${layer.aim.alpha}` : '–'}</td>}
                  <td className="number">{format.duration(layer.seconds)}</td>
                  <td className="number">{layer.iterations || '–'}</td>
                  <td className="number">
                    <Bits layers={[layer]} />
                  </td>
                </tr>
              ),
          )}
        </tbody>
      </table>
      <ul className="known-notes">
        {layers.flatMap((layer, i) =>
          (layer?.notes ?? []).map((note) => (
            <li key={`${view.runs[i].id}${note}`}>
              <Icon name="warning" />
              <span>
                <b>{view.runs[i].label}:</b> {note}
              </span>
            </li>
          )),
        )}
      </ul>
    </div>
  )
}
