/** Module paths, shortened for display. */

const inBlock = /(?:layers|h|blocks?)\.(\d+)\.(.*)$/

/** "layers.0.self_attn.q_proj": what tells linears apart, without what they share. */
export function shortName(path: string): string {
  return path.match(inBlock)?.[0] ?? path
}

/** Which block a linear is in, from 0, and what it is called there. */
export function placeIn(path: string): { block: number; module: string } {
  const [, block, module] = path.match(inBlock) ?? []
  return block === undefined ? { block: 0, module: path } : { block: Number(block), module }
}
