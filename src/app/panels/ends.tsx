/** Embedding and head of the runs that rounded them: types, errors and bits. */
import type { EndUse } from '../../engine/job/result.ts'
import { useView } from '../context.ts'
import * as format from '../format.ts'
import type { JobView } from '../reduce.ts'
import { Bits } from './bits.tsx'
import { RunMark } from './run-mark.tsx'
import { Scroll } from './tables.tsx'

const words: Record<EndUse, string> = { embedding: 'embedding', head: 'head', both: 'embedding and head' }

export function Ends({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const rows = view.runs.flatMap(({ id, label, result }) => (result?.ends ?? []).map((end) => ({ id, label, end })))
  if (!rows.length) return null
  return (
    <>
      <h3 id="ends-title">Embedding and head</h3>
      <Scroll label="Embedding and head">
        <table aria-labelledby="ends-title">
          <thead>
            <tr>
              <th scope="col">Run</th>
              <th scope="col">Matrix</th>
              <th scope="col">Type</th>
              {['Error of logits', 'Held out', 'Error of rows', 'Time', 'Bits per weight'].map((name) => (
                <th key={name} scope="col" className="number">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ id, label, end }) => (
              <tr key={`${id} ${end.name}`}>
                <th scope="row">
                  <RunMark run={id} />
                  {'\u00a0'}
                  {label}
                </th>
                <td>{words[end.use]}</td>
                <td>{end.type}</td>
                <td className="number">{end.use === 'embedding' ? '–' : format.relativeError(end.relativeError, unit)}</td>
                <td className="number">{end.heldOutError === undefined ? '–' : format.relativeError(end.heldOutError, unit)}</td>
                <td className="number">{end.tableError === undefined ? '–' : format.relativeError(end.tableError, unit)}</td>
                <td className="number">{format.duration(end.seconds)}</td>
                <td className="number">
                  <Bits layers={[end]} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </>
  )
}
