/**
 * What becomes of a run's embedding and head, the two matrices outside the blocks: the type of GGUF that each is rounded to, or that it
 * stays as it is. Where the head is the embedding they are one tensor, which has one type and serves both.
 */
import type { OpenModel } from '../../models/open.ts'
import type { Grid } from '../../quant/grids/grid.ts'
import { gridKind, optionsFor } from '../../quant/grids/index.ts'
import { rtn } from '../../quant/rtn.ts'
import type { Solver } from '../../quant/solver.ts'
import type { Options } from '../../options.ts'
import type { RunSpec } from '../job/job.ts'
import type { EndUse } from '../job/result.ts'
import { FULL, USUAL } from '../run-options.ts'
import { withOwn } from './own.ts'

export interface PlannedEnd {
  use: EndUse
  /** Its tensor in the model's checkpoint, and the module path of that. */
  tensor: string
  name: string
  /** Entries of the vocabulary, and the width of each. */
  q: number
  p: number
  options: Options
  grid: Grid
  /** The type that was asked for, where its rows take another. */
  replaced?: string
}

type Fail = (key: string, message: string, hint?: string) => void

/** Levels of the types that other formats hold as well: a file of theirs has embedding and head as they are. */
const elsewhere = ['affine', 'mxfp4', 'nvfp4']

/**
 * The type that llama.cpp's quantizer gives an end in a file of type `kind`, `llama_tensor_get_type` of its version 0.5.0: the embedding the
 * file's own, the head six bits or eight; null where nothing is said, and it stays as it is.
 */
function usualType(kind: string, use: EndUse, family: string): string | null {
  const { fixed, of } = gridKind(kind)
  if (!fixed?.bits || elsewhere.includes(of({ bits: 4, groupSize: 32, symmetric: true, grid: 'minmax' }).levels)) return null
  if (use === 'embedding') return kind
  return kind === 'q8_0' || family === 'falcon' ? 'q8_0' : 'q6_k'
}

/** The ends that a run rounds. `options`: of the run. */
export function planEnds(spec: RunSpec, solver: Solver, options: Options, opened: OpenModel, fail: Fail): PlannedEnd[] {
  const { embedding, head, family } = opened
  const asked = { embedding: String(options.embeddingType), head: String(options.headType) }
  const said = (['headType', 'embeddingType'] as const).filter((key) => options[key] !== USUAL)
  const uses: EndUse[] = embedding === head ? ['both'] : ['embedding', 'head']
  if (uses[0] === 'both' && said.length === 2 && asked.embedding !== asked.head) {
    fail(
      'options.headType',
      `The head of ${opened.folder.name} is its embedding, one tensor, which cannot be ${wordsOf(asked.embedding)} and ${wordsOf(asked.head)}.`,
      'Choose the same type for both, or one of them.',
    )
    return []
  }
  return uses.flatMap((use) => {
    const given = use === 'both' ? String(options[said[0] ?? 'headType']) : asked[use]
    const kind = given === USUAL ? usualType(String(options.kind ?? 'uniform'), use, family.id) : given === FULL ? null : given
    if (kind === null || (given === USUAL && refusal(solver, options, opened, use))) return []
    const why = refusal(solver, options, opened, use)
    if (why) {
      fail(`options.${said[0]}`, why, 'Leave embedding and head in full precision, or choose another method.')
      return []
    }
    return [plannedEnd(spec, solver, kind, use, opened)]
  })
}

function plannedEnd(spec: RunSpec, solver: Solver, kind: string, use: EndUse, opened: OpenModel): PlannedEnd {
  const { vocab: q, embedWidth: p } = opened.model.shape
  const tensor = use === 'embedding' ? opened.embedding : opened.head
  const own = withOwn(spec, solver, { kind }).options
  // A row of the table has its cells for itself, so nothing but its own weights can choose them.
  const options = optionsFor<Options>(use === 'embedding' ? { ...own, grid: 'weighted' } : own, p)
  const grid = (use === 'embedding' ? rtn : solver).gridOf(options)
  const replaced = options.kind === kind ? {} : { replaced: kind }
  return { use, tensor, name: tensor.replace(/\.weight$/, ''), q, p, options, grid, ...replaced }
}

/** Why a method does not round them: a sentence, or null. */
function refusal(solver: Solver, options: Options, { model, family }: OpenModel, use: EndUse): string | null {
  const { vocab, embedWidth } = model.shape
  if (model.perLayer && use !== 'head')
    return `What tokens say to every block of this ${family.label} is made of its embedding in full precision, which is therefore not rounded.`
  if (!solver.options.some(({ key }) => key === 'kind'))
    return `${solver.label} does not know the types of GGUF, which embedding and head are stored in.`
  if (solver.outliers?.(vocab, embedWidth, options)) return 'Embedding and head are stored without outliers, and this run keeps some.'
  return null
}

const wordsOf = (type: string) => (type === FULL ? 'in full precision' : type.toUpperCase())
