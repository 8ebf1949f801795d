/** Bits per weight, with a breakdown on hover, focus or tap. */
import { bitsPerWeight, type LayerResult } from '../../engine/job/result.ts'
import * as format from '../format.ts'
import { bitsParts } from '../reduce.ts'
import { Tip } from './controls.tsx'

export function Bits({ layers }: { layers: Pick<LayerResult, 'shape' | 'bits'>[] }) {
  const value = format.bitsPerWeight(bitsPerWeight(layers))
  const parts = bitsParts(layers)
  return (
    <Tip
      className="tip inherit"
      label={`${value} bits per weight: ${parts.map(({ name, bits }) => `${name} ${bits.toFixed(3)}`).join(', ')}`}
      text={
        <>
          {parts.map(({ name, bits }) => (
            <span key={name} className="tooltip-row">
              <span>{name}</span>
              <span className="figures">{bits.toFixed(3)}</span>
            </span>
          ))}
          <span>bits stored for each weight</span>
        </>
      }
    >
      {value}
    </Tip>
  )
}
