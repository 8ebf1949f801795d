/** Layout of the error map: positions of linears, colours of values, and moves by arrow keys. */
import type { LayerResult } from '../../engine/job.ts'
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

/** Relative errors, those on held-out tokens if wanted, or how many times those of the reference they are. */
export function mapValues(layers: LayerResult[], reference: LayerResult[] | null, heldOut = false): Map<string, number> {
  const base = new Map(reference?.map((layer) => [layer.name, layer.relativeError]))
  const values = new Map<string, number>()
  for (const { name, relativeError, heldOutError } of layers) {
    if (heldOut && heldOutError !== undefined) values.set(name, heldOutError)
    else if (heldOut) continue
    else if (!reference) values.set(name, relativeError)
    else if (base.get(name)) values.set(name, relativeError / base.get(name)!)
  }
  return values
}

/** Where a value lies between the ends of a log scale, in [0, 1]. What is not above zero has no error: the low end. */
export function position(value: number, [low, high]: [number, number]): number {
  return value > 0 ? Math.min(1, Math.max(0, Math.log(value / low) / Math.log(high / low))) : 0
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
  top: number
  cellWidth: number
  cellHeight: number
  /** Column labels stand at a slant where they would not fit side by side. */
  slanted: boolean
  legendTop: number
}

/** Width of 12 px text, near enough to decide what fits. */
export const textWidth = (text: string) => text.length * 6.6
const legendHeight = 44

export function layoutMap(width: number, height: number, { blocks, modules }: MapGrid): MapLayout {
  const left = 16 + textWidth(String(blocks.at(-1) ?? 0)) + 24
  const widest = Math.max(0, ...columnLabels(modules).map(textWidth))
  const cellWidth = (width - left) / Math.max(1, modules.length)
  const slanted = widest + 6 > cellWidth
  const top = slanted ? Math.min(96, 14 + widest * 0.75) : 22
  const legendTop = height - legendHeight
  return { width, height, left, top, cellWidth, cellHeight: (legendTop - top - 12) / Math.max(1, blocks.length), slanted, legendTop }
}

export function cellAt(x: number, y: number, { left, top, cellWidth, cellHeight }: MapLayout, { blocks, modules }: MapGrid): Cell | null {
  const column = Math.floor((x - left) / cellWidth)
  const row = Math.floor((y - top) / cellHeight)
  return row >= 0 && row < blocks.length && column >= 0 && column < modules.length ? { row, column } : null
}
