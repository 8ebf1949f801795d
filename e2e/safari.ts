/**
 * As in Safari 26.0, where a ReadableStream cannot be iterated: whatever the engine reads a stream by has to do without. Node's
 * own `fetch`, which sends a body by iterating it, may go on.
 */
const { prototype } = ReadableStream
for (const name of [Symbol.asyncIterator, 'values'] as const) {
  const original = prototype[name]
  Object.defineProperty(prototype, name, {
    configurable: true,
    get: () => (/undici/.test(new Error().stack ?? '') ? original : undefined),
  })
}
