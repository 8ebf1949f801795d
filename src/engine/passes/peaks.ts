/** The largest hidden states of a model, stage by stage: whether float16, which ends at 65504, would do to compute with. */
import type { Device } from '../../gpu/device.ts'
import { maxAbs } from '../../gpu/ops.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { MOST_HALF } from '../../io/formats/index.ts'
import { type OpenModel, blockName } from '../../models/open.ts'
import type { Peak } from '../host.ts'
import type { Plan } from '../plan/plan.ts'
import type { Problem } from '../job/model.ts'

/** Seen while a model runs: the input of each group of linears, and what each block puts out. */
export class Peaks {
  /** Bits of the largest |x|: for each block its stages, then its output. */
  readonly #bits: Tensor
  readonly #places: number

  constructor(
    readonly gpu: Device,
    readonly opened: OpenModel,
  ) {
    const { layouts, shape } = opened.model
    this.#places = Math.max(...layouts.map(({ stages }) => stages.length)) + 1
    this.#bits = gpu.zeros([shape.blocks * this.#places], 'u32')
  }

  /** Hidden states before a stage of block k, or after its last one. */
  see(x: Tensor, k: number, stage: number | null): void {
    maxAbs(this.gpu, x, this.#bits, k * this.#places + (stage ?? this.#places - 1))
  }

  /** The largest of all; what was seen is given up. */
  async read(): Promise<Peak> {
    const { model, prefix } = this.opened
    const bits = (await this.gpu.read(this.#bits)) as Uint32Array<ArrayBuffer>
    this.#bits.dispose()
    const at = bits.reduce((most, word, i) => (word > bits[most] ? i : most), 0)
    const [k, place] = [Math.floor(at / this.#places), at % this.#places]
    const stage = model.layouts[k].stages[place]
    const name = stage ? `the input of ${blockName(this.opened, k, stage[0].name)}` : `the output of ${prefix}${model.blockPath(k)}`
    return { value: new Float32Array(bits.buffer)[at], name }
  }
}

/** What stands against float16 for a model with such hidden states. */
export function outOfRange({ value, name }: Peak, { runs }: Plan): Problem[] {
  if (value <= MOST_HALF || !runs.length) return []
  const declared = [
    ...new Set(runs.flatMap(({ formats, output }) => formats.map((format) => format.declares(output.settings.dtype, value)))),
  ].join(' or ')
  return [
    {
      severity: 'warning',
      code: 'note',
      message: `Hidden states of this model pass 65504, the largest float16 (${name} reaches ${value.toPrecision(3)}), so it does not work in float16.`,
      hint: `The checkpoint declares ${declared}; load it in that or in float32.`,
    },
  ]
}
