/** The columns of the page's own table of figures, which is no text to calibrate on. */
export const figureColumns = ['run', 'label', 'linear', 'figure', 'at', 'value'] as const

export const areFigures = (header: readonly string[]) => String(header) === String(figureColumns)
