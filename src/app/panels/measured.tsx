/** What a job without runs has found. */
import type { ReactNode } from 'react'
import type { KeptJob } from '../../engine/job/kept.ts'
import { useView } from '../context.ts'
import * as format from '../format.ts'
import type { JobView } from '../reduce.ts'
import { RunMark } from './run-mark.tsx'
import { Scroll } from './tables.tsx'

/** A job without runs: how good the model is as it is. */
export function Measured({ view, children }: { view: JobView; children: ReactNode }) {
  // A measurement is not kept: what the last job measured on the same windows can stand beside.
  const windows = view.texts?.evaluation.tokensSha256
  const earlier = useView(({ jobs }) => jobs.find(({ finished, texts }) => finished && texts?.evaluation.tokensSha256 === windows))
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
      {windows && earlier && <Beside job={earlier} />}
    </>
  )
}

/** What the last job with runs found on the same windows. */
function Beside({ job }: { job: KeptJob }) {
  const rows = [
    { id: null, label: `${job.model.name}, full precision`, perplexity: job.fpPerplexity, error: job.fpPerplexityError },
    ...job.runs.map(({ id, label, perplexity, perplexityError }) => ({ id, label, perplexity, error: perplexityError })),
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
