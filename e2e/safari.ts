/**
 * Simulates Safari 26.0, where a ReadableStream cannot be iterated, so the engine must read streams in another way. Node's own `fetch`,
 * which sends a body by iterating it, may go on.
 */
const { prototype } = ReadableStream
for (const name of [Symbol.asyncIterator, 'values'] as const) {
  const original = prototype[name]
  Object.defineProperty(prototype, name, {
    configurable: true,
    get: () => (/undici/.test(new Error().stack ?? '') ? original : undefined),
  })
}
