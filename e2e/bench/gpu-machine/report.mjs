/** report.json for people. */

const short = (value) => (value === null || value === undefined ? '–' : String(Number(value.toPrecision(3))))
const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')

const sections = {
  bench: ({ text }) => text.trim(),
  tests: ({ counts, failed = [] }) => [counts, ...failed].filter(Boolean).join('\n'),
  quantize({ blocks, result, measured = {} }) {
    if (!result) return ''
    const passes = Object.entries(measured).map(([products, one]) =>
      one.trouble
        ? `- inputs in ${products}: ${one.trouble}`
        : `- evaluation alone, inputs in ${products}: ${short(one.seconds)} s, perplexity ${short(one.fp_perplexity)}${one.products ? `; ${one.products.used} was used, KL ${one.products.kl.toExponential(1)}` : ''}`,
    )
    const words = `${blocks} blocks, ${result.linears} linears: ${short(result.seconds)} s, mean layer error ${short(result.mean_relative_error)}, KL ${short(result.kl)}`
    return [words, ...passes].join('\n')
  },
  published(part) {
    if (part.missing) return `Not compared: ${part.missing}.`
    if (!part.shapes) return ''
    return `PyTorch ${part.torch} on ${part.device}, ${part.sweeps} sweeps at ${part.bits} bits, float32`
  },
}

/** Seconds of one linear, side by side, where both are known. */
function besides({ quantize, published }) {
  if (!published?.shapes || !quantize?.result) return ''
  const rows = published.shapes.map(({ shape, seconds }) => {
    const ours = quantize.result.solved.find((one) => String(one.shape) === String(shape))?.seconds ?? null
    return [shape.join(' × '), `${short(ours)} s`, `${short(seconds)} s`, ours ? `${(seconds / ours).toFixed(1)}×` : '–']
  })
  return `\n${table(['one linear, out × in', 'this program', 'PyTorch, as published', 'ratio'], rows)}\n`
}

export function readable(report) {
  const { adapter, software, cores, processor } = report.machine
  const name = [adapter.description, adapter.vendor, adapter.architecture].filter(Boolean).join(', ')
  const parts = Object.entries(sections)
    .filter(([part]) => report[part])
    .map(([part, say]) => {
      const { trouble, seconds, at } = report[part]
      const when = `${at}${seconds === undefined ? '' : `, ${seconds.toFixed(0)} s`}`
      return `## ${part}\n\n${when}\n${trouble ? `\n**It did not end well:** ${trouble}\n` : ''}\n${say(report[part])}\n`
    })
  const tried = software ? 'A software adapter: this only tries the command, its times say nothing of a GPU.\n\n' : ''
  return `# ${name}\n\n${tried}${cores} cores, ${processor}; shader-f16: ${adapter.f16 ? 'yes' : 'no'}\n\n${parts.join('\n')}${besides(report)}`
}
