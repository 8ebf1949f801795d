/** Ranges and ticks of chart axes. */

/** Whole steps of 1, 2, 5 around the values, with as many ticks as stay legible. */
export function logScale(values: number[]): { domain: [number, number]; ticks: number[] } {
  const positive = values.filter((value) => value > 0)
  const low = Math.min(...positive)
  const high = Math.max(...positive)
  if (!positive.length) return { domain: [0.01, 1], ticks: [0.01, 0.1, 1] }
  const all: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const step of [1, 2, 5]) all.push(Number(`${step}e${power}`))
  }
  const from = all.findLastIndex((tick) => tick <= low * 0.98)
  const to = all.findIndex((tick) => tick >= high * 1.02)
  const steps = all.slice(Math.max(0, from), to < 0 ? undefined : to + 1)
  const decades = steps.filter((tick) => /^1e|^1$|^10*$|^0\.0*1$/.test(String(tick)))
  return { domain: [steps[0], steps.at(-1)!], ticks: steps.length > 7 && decades.length > 1 ? decades : steps }
}

export function linearScale(values: number[], from?: number): { domain: [number, number]; ticks: number[] } {
  if (!values.length) return { domain: [0, 1], ticks: [0, 1] }
  let low = from ?? Math.min(...values)
  let high = Math.max(...values)
  if (high <= low) {
    const around = Math.abs(low) * 0.1 || 1
    high = low + around
    if (from === undefined) low -= around
  }
  const raw = (high - low) / 4
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= raw)!
  const first = Math.floor(low / step)
  const ticks = Array.from({ length: Math.ceil(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
  return { domain: [ticks[0], ticks.at(-1)!], ticks }
}

/** The text of a tick: as `show` writes it, or with as many digits as the ticks have where some would read alike. */
export function tickText(ticks: readonly number[], show: (value: number) => string): (tick: number) => string {
  if (new Set(ticks.map(show)).size === ticks.length) return show
  const digits = Math.max(...ticks.map((tick) => String(tick).split('.')[1]?.length ?? 0))
  return (tick) => tick.toFixed(digits)
}
