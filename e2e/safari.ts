/** As in Safari 26.0, where a ReadableStream cannot be iterated: whatever the engine reads a stream by has to do without. */
const { prototype } = ReadableStream as unknown as { prototype: Partial<ReadableStream> }
delete prototype[Symbol.asyncIterator]
delete prototype.values
