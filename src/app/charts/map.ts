/** Maps of a model: what is shown of each linear, where it stands, its colour, and moves by arrow keys. */
import { bitsPerWeight, type LayerResult } from '../../engine/job/result.ts'
import { placeIn } from './names.ts'

export interface MapGrid {
  /** Numbers of the blocks, from 0. */
  blocks: number[]
  /** Names of the linears inside a block, in the order they are solved. */
  modules: string[]
  /** Module path by row and column; null where a block has no such linear. */
  names: (string | null)[][]
}

export interface Cell {
  row: number
  column: number
}

/** Rows are blocks, columns are the linears of a block. */
export function gridOf(layers: string[]): MapGrid {
  const places = layers.map((name) => ({ name, ...placeIn(name) }))
  const blocks = [...new Set(places.map(({ block }) => block))].sort((a, b) => a - b)
  const modules = [...new Set(places.map(({ module }) => module))]
  const byPlace = new Map(places.map(({ name, block, module }) => [`${block} ${module}`, name]))
  return { blocks, modules, names: blocks.map((block) => modules.map((module) => byPlace.get(`${block} ${module}`) ?? null)) }
}

/** "down_proj", where that is enough to tell the columns apart. */
export function columnLabels(modules: string[]): string[] {
  const short = modules.map((module) => module.split('.').at(-1)!)
  return new Set(short).size === modules.length ? short : modules
}

/** Asked for at every redraw, also of runs that are finished. */
const errors = { seen: new WeakMap<LayerResult[], Map<string, number>>(), heldOut: new WeakMap<LayerResult[], Map<string, number>>() }

function errorsOf(layers: LayerResult[], of: keyof typeof errors): Map<string, number> {
  const known = errors[of].get(layers)
  if (known) return known
  const values = new Map<string, number>()
  for (const { name, relativeError, heldOutError } of layers) {
    const value = of === 'heldOut' ? heldOutError : relativeError
    if (value !== undefined) values.set(name, value)
  }
  errors[of].set(layers, values)
  return values
}

/** Relative errors, those on held-out tokens if wanted, or how many times those of the reference they are. */
export function mapValues(layers: LayerResult[], reference: LayerResult[] | null, heldOut = false): Map<string, number> {
  const of = heldOut ? 'heldOut' : 'seen'
  return reference ? ratios(errorsOf(layers, of), errorsOf(reference, of)) : errorsOf(layers, of)
}

/** What a map shows of each linear. */
export type Quantity = 'error' | 'heldOut' | 'share' | 'bits'

/** By module path. The share is that of the sum of the relative errors of its block. */
export function quantities(layers: LayerResult[], quantity: Quantity): Map<string, number> {
  if (quantity === 'error' || quantity === 'heldOut') return mapValues(layers, null, quantity === 'heldOut')
  if (quantity === 'bits') return new Map(layers.map((layer) => [layer.name, bitsPerWeight([layer])]))
  const sums = new Map<number, number>()
  for (const { block, relativeError } of layers) sums.set(block, (sums.get(block) ?? 0) + relativeError)
  return new Map(layers.flatMap(({ name, block, relativeError }) => (sums.get(block) ? [[name, relativeError / sums.get(block)!]] : [])))
}

/** a / b, where both are known. */
export function ratios(a: Map<string, number>, b: Map<string, number>): Map<string, number> {
  return new Map([...a].flatMap(([name, value]) => (b.get(name) ? [[name, value / b.get(name)!]] : [])))
}

export interface Scale {
  domain: [number, number]
  ticks: number[]
  log: boolean
}

/** Around 1, as far down as up. */
export function ratioScale(values: number[]): Scale {
  const most = Math.max(1.1, ...values.filter((value) => value > 0 && Number.isFinite(value)).map((value) => Math.max(value, 1 / value)))
  const steps = [1.1, 1.2, 1.5, 2, 5, 10, 20, 50, 100, 1e3, 1e4, 1e6, 1e9]
  const end = steps.find((step) => step >= most) ?? most
  const middle = Math.sqrt(end)
  return { domain: [1 / end, end], ticks: [1 / end, 1 / middle, 1, middle, end], log: true }
}

/** Where a value lies between the ends of a scale, in [0, 1]. On a log scale, what is not above zero has no error: the low end. */
export function position(value: number, { domain: [low, high], log }: Pick<Scale, 'domain' | 'log'>): number {
  const share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low)
  return log && !(value > 0) ? 0 : Math.min(1, Math.max(0, share))
}

/** Cividis, which reads alike with and without colour vision, as the polynomial of d3-scale-chromatic. */
export function cividis(t: number): [number, number, number] {
  const polynomial = (...c: number[]) => Math.max(0, Math.min(255, Math.round(c.reduceRight((sum, each) => sum * t + each, 0))))
  return [
    polynomial(-4.54, -35.34, 2381.73, -6402.7, 7024.72, -2710.57),
    polynomial(32.49, 170.73, 52.82, -131.46, 176.58, -67.37),
    polynomial(81.24, 442.36, -2482.43, 6167.24, -6614.94, 2475.67),
  ]
}

/** Blue below the middle and orange above it, apart for every kind of colour vision; the middle is nearly white. */
export function diverging(t: number): [number, number, number] {
  const stops = [
    [8, 81, 156],
    [107, 174, 214],
    [247, 247, 247],
    [240, 163, 94],
    [160, 64, 0],
  ]
  const at = Math.min(3, Math.floor(t * 4))
  return stops[at].map((part, i) => Math.round(part + (t * 4 - at) * (stops[at + 1][i] - part))) as [number, number, number]
}

/** Black or white, whichever stands out more on this colour. */
export function inkOn(colour: [number, number, number]): string {
  const [r, g, b] = colour.map((part) => {
    const value = part / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? '#000' : '#fff'
}

/** Where a key leads from a cell; null for keys that move nothing. */
export function moved(key: string, { row, column }: Cell, { blocks, modules }: MapGrid): Cell | null {
  const within = (value: number, count: number) => Math.max(0, Math.min(count - 1, value))
  switch (key) {
    case 'ArrowUp':
    case 'ArrowDown':
      return { row: within(row + (key === 'ArrowUp' ? -1 : 1), blocks.length), column }
    case 'ArrowLeft':
    case 'ArrowRight':
      return { row, column: within(column + (key === 'ArrowLeft' ? -1 : 1), modules.length) }
    case 'Home':
      return { row, column: 0 }
    case 'End':
      return { row, column: modules.length - 1 }
    default:
      return null
  }
}

export interface MapLayout {
  width: number
  height: number
  left: number
  /** Room for slanted labels. */
  right: number
  top: number
  cellWidth: number
  cellHeight: number
  /** Column labels stand at a slant where they would not fit side by side. */
  slanted: boolean
}

/** Width of 12 px text, near enough to decide what fits. */
export const textWidth = (text: string) => text.length * 6.6

export function layoutMap(width: number, height: number, { blocks, modules }: MapGrid): MapLayout {
  const left = 10 + textWidth(String(blocks.at(-1) ?? 0))
  const widest = Math.max(0, ...columnLabels(modules).map(textWidth))
  const slanted = widest + 6 > (width - left) / Math.max(1, modules.length)
  const right = slanted ? Math.min(56, widest * 0.72) : 0
  const cellWidth = (width - left - right) / Math.max(1, modules.length)
  const top = slanted ? Math.min(96, 14 + widest * 0.75) : 22
  return { width, height, left, top, cellWidth, right, cellHeight: (height - top) / Math.max(1, blocks.length), slanted }
}

export function cellAt(x: number, y: number, { left, top, cellWidth, cellHeight }: MapLayout, { blocks, modules }: MapGrid): Cell | null {
  const column = Math.floor((x - left) / cellWidth)
  const row = Math.floor((y - top) / cellHeight)
  return row >= 0 && row < blocks.length && column >= 0 && column < modules.length ? { row, column } : null
}
