/** What a job without runs has found. */
import type { ReactNode } from 'react'
import type { JobReport } from '../../engine/job.ts'
import { useView } from '../context.ts'
import * as format from '../format.ts'
import type { JobView } from '../reduce.ts'
import { RunMark } from './controls.tsx'
import { Scroll } from './tables.tsx'

/** A job without runs: how good the model is as it is. */
export function Measured({ view, children }: { view: JobView; children: ReactNode }) {
  // A measurement leaves the last job with runs alone: what it measured on the same windows can stand beside.
  const earlier = useView(({ journal }) => journal?.summary.report ?? null)
  const same = earlier && earlier.texts?.evaluation.tokensSha256 === view.texts?.evaluation.tokensSha256
  return (
    <>
      <section className="panel">
        <p className="big figures" data-testid="measured-perplexity">
          {format.perplexity(view.fpPerplexity)}
        </p>
        {view.fpPerplexityError !== null && (
          <p className="figures">standard error over windows {format.perplexity(view.fpPerplexityError)}</p>
        )}
        {view.fpLambada && (
          <p className="figures">
            Last-word accuracy: <b>{format.accuracy(view.fpLambada)?.text}</b> of {format.plural(view.fpLambada.passages, 'passage')},
            standard error {format.accuracy(view.fpLambada)?.error}
          </p>
        )}
        {children}
      </section>
      {same && <Beside report={earlier} />}
    </>
  )
}

/** What the last job with runs found on the same windows. */
function Beside({ report }: { report: JobReport }) {
  const rows = [
    { id: null, label: `${report.model.name}, full precision`, perplexity: report.fpPerplexity, error: report.fpPerplexityError },
    ...report.runs.map(({ run, perplexity, perplexityError }) => ({
      id: run,
      label: report.job.runs.find(({ id }) => id === run)!.label,
      perplexity,
      error: perplexityError,
    })),
  ]
  return (
    <section className="panel" aria-labelledby="beside-title">
      <h2 id="beside-title">The last job on the same windows</h2>
      <Scroll label="The last job on the same windows">
        <table>
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col" className="number">
                Perplexity
              </th>
              <th scope="col" className="number">
                Standard error
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ id, label, perplexity, error }) => (
              <tr key={id}>
                <th scope="row">
                  {id !== null && <RunMark run={id} />} {label}
                </th>
                <td className="number">{format.perplexity(perplexity)}</td>
                <td className="number">{format.perplexity(error)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  )
}
