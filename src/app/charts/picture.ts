/** A chart as an image file: the drawn SVG with inlined styles, below its title and legend. */
import { runColour, runShape } from '../panels/run-mark.tsx'

export interface Picture {
  text: string
  width: number
  height: number
}

const inherited = [
  'fill',
  'stroke',
  'stroke-width',
  'stroke-dasharray',
  'font-size',
  'font-family',
  'text-anchor',
  'paint-order',
  'opacity',
] as const
const head = 52
const margin = 12

/** What a colour of the page, custom properties and all, comes out as in this place. */
export function colourIn(place: HTMLElement, value: string): string {
  const probe = place.ownerDocument.createElement('span')
  probe.style.color = value
  place.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}

export function toSvg(drawn: SVGSVGElement, title: string, legend: { run: string; label: string }[]): Picture {
  const width = drawn.clientWidth + 2 * margin
  const height = drawn.clientHeight + head + margin
  const colour = (value: string) => colourIn(drawn.parentElement!, value)

  const chart = drawn.cloneNode(true) as SVGSVGElement
  const before = drawn.querySelectorAll<SVGElement>('*')
  chart.querySelectorAll<SVGElement>('*').forEach((element, i) => {
    const style = getComputedStyle(before[i])
    for (const name of inherited) element.setAttribute(name, style.getPropertyValue(name))
    element.removeAttribute('style')
    element.removeAttribute('class')
  })
  for (const name of ['class', 'style', 'tabindex', 'role']) chart.removeAttribute(name)
  chart.setAttribute('x', String(margin))
  chart.setAttribute('y', String(head))
  chart.setAttribute('width', String(drawn.clientWidth))
  chart.setAttribute('height', String(drawn.clientHeight))

  const text = colour('var(--text)')
  const surface = colour('var(--surface)')
  let x = margin
  const marks = legend.map(({ run, label }) => {
    const at = x
    x += 30 + label.length * 6.6
    return `<g transform="translate(${at + 6} 38)"><path d="${runShape(run)}" fill="${colour(runColour(run))}"/><text x="12" y="4">${escaped(label)}</text></g>`
  })
  return {
    width,
    height,
    text: [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="${text}">`,
      `<rect width="100%" height="100%" fill="${surface}"/>`,
      `<text x="${margin}" y="20" font-size="14" font-weight="600">${escaped(title)}</text>`,
      ...marks,
      new XMLSerializer().serializeToString(chart),
      '</svg>',
    ].join('\n'),
  }
}

export async function savePng({ text, width, height }: Picture): Promise<Blob> {
  const image = new Image()
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`
  await image.decode()
  const scale = 2
  const canvas = new OffscreenCanvas(width * scale, height * scale)
  const context = canvas.getContext('2d')!
  context.scale(scale, scale)
  context.drawImage(image, 0, 0, width, height)
  return canvas.convertToBlob({ type: 'image/png' })
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
