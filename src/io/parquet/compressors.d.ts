/** Taken from the package one by one: its index brings WebAssembly along, which the page's policy forbids. */
declare module 'hyparquet-compressors/src/brotli.js' {
  export function decompressBrotli(packed: Uint8Array, size: number): Uint8Array<ArrayBuffer>
}
declare module 'hyparquet-compressors/src/lz4.js' {
  export function decompressLz4(packed: Uint8Array, size: number): Uint8Array<ArrayBuffer>
  export function decompressLz4Raw(packed: Uint8Array, size: number): Uint8Array<ArrayBuffer>
}
