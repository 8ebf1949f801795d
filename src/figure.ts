/** The notation of measured figures, the same in the page, in the terminal and in reports. */

/**
 * Of so many significant digits, 0.28 or 1234; with an exponent below 0.001, 4.2e-5, and from 100 000 on where
 * zeros would end it, 1.2e5.
 */
export function figure(value: number, digits = 2): string {
  if (value === 0) return '0'
  const scientific = value.toExponential(digits - 1)
  const power = Number(scientific.split('e')[1])
  return power < -3 || power > Math.max(4, digits - 1) ? scientific.replace('e+', 'e') : value.toFixed(Math.max(0, digits - 1 - power))
}
