/** Shares as texts hold them, in the page and on the command line. */

/** Two shares in percent, with as many digits as tell them apart, up to four decimals. */
export function sharesApart(a: number, b: number): [string, string] {
  const show = (decimals: number): [string, string] => [(a * 100).toFixed(decimals), (b * 100).toFixed(decimals)]
  for (let decimals = 1; decimals < 4; decimals++) {
    const [one, other] = show(decimals)
    if (one !== other || a === b) return [one, other]
  }
  return show(4)
}
