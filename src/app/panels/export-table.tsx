/** Where the checkpoints load: runs as rows, formats and programs as columns, and the command of the chosen cell below. */
import { useState } from 'react'
import type { LoadsIn } from '../../engine/job/check.ts'
import { useView } from '../context.ts'
import { commandFor } from '../formats.ts'
import type { JobView } from '../reduce.ts'
import { exportNames } from '../export-names.ts'
import { Icon } from './icons.tsx'
import { RunMark } from './run-mark.tsx'
import { checkpointsOf } from './exports.tsx'
import { CopyButton } from './problems.tsx'
import { Scroll } from './tables.tsx'

interface Cell extends LoadsIn {
  run: string
  label: string
  /** Of the checkpoint, as it is saved. */
  folder: string
}

type Column = { format: string; runtime: string }

const keyOf = ({ format, runtime }: Column) => `${format} ${runtime}`

export function ExportTable({ view }: { view: JobView }) {
  const catalog = useView((state) => state.catalog)
  const model = useView((state) => state.ran)
  const [chosen, setChosen] = useState<Cell | null>(null)
  const written = view.runs.filter(({ result }) => result?.export)
  if (!catalog || !model || !written.length) return null
  const names = exportNames(model, view.runs)
  const cells = new Map<string, Map<string, Cell>>()
  const columns = new Map<string, Column>()
  for (const { id, label, result } of written) {
    const own = new Map<string, Cell>()
    for (const { format, folder, loadsIn } of checkpointsOf(result!.export!))
      for (const program of loadsIn) {
        const column = { format, runtime: program.runtime }
        columns.set(keyOf(column), column)
        own.set(keyOf(column), { ...program, run: id, label, folder: `${names.get(id)}/${folder}` })
      }
    cells.set(id, own)
  }
  const formats = [...new Set([...columns.values()].map(({ format }) => format))]
  const ordered = formats.flatMap((format) => [...columns.values()].filter((column) => column.format === format))
  const labelOf = (id: string) => catalog.formats.find((one) => one.id === id)?.label ?? id
  return (
    <section className="panel" aria-labelledby="loads-title">
      <h2 id="loads-title">Where the checkpoints load</h2>
      <Scroll label="Where the checkpoints load">
        <table className="sticky loads">
          <thead>
            <tr>
              <th scope="col">Run</th>
              {formats.map((format) => (
                <th key={format} scope="colgroup" colSpan={ordered.filter((column) => column.format === format).length}>
                  {labelOf(format)}
                </th>
              ))}
            </tr>
            <tr>
              <th scope="col">
                <span className="sr">Program</span>
              </th>
              {ordered.map((column) => (
                <th key={keyOf(column)} scope="col">
                  {column.runtime.replace(/ \(.*\)$/, '')}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {written.map(({ id, label }) => (
              <tr key={id} data-run={id}>
                <th scope="row">
                  <RunMark run={id} /> {label}
                </th>
                {ordered.map((column) => {
                  const cell = cells.get(id)!.get(keyOf(column))
                  return (
                    <td key={keyOf(column)}>
                      {cell && (
                        <button
                          type="button"
                          className={`button quiet bare ${cell.loads ? 'yes' : 'no'}`}
                          aria-pressed={chosen?.run === id && chosen.runtime === cell.runtime && chosen.folder === cell.folder}
                          aria-label={`${label} ${cell.loads ? 'loads' : 'does not load'} in ${cell.runtime}`}
                          title={cell.note}
                          onClick={() => setChosen(cell)}
                        >
                          <Icon name={cell.loads ? 'check' : 'cancel'} />
                        </button>
                      )}
                    </td>
                  )
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <Chosen cell={chosen} />
    </section>
  )
}

function Chosen({ cell }: { cell: Cell | null }) {
  if (!cell) return <p className="hint">Press a cell for the condition, the reason why not, or the command.</p>
  const line = cell.command && commandFor(cell.command, cell.folder)
  return (
    <div role="status">
      <p>
        <b>
          {cell.label} in {cell.runtime}:
        </b>{' '}
        {cell.note || (cell.loads ? 'loads it.' : 'does not load it.')}
      </p>
      {line && (
        <div className="command">
          <code>{line}</code>
          <CopyButton kind="quiet" text={() => line} label={`Copy the command for ${cell.runtime}`} />
        </div>
      )}
    </div>
  )
}
