/** Where a text is not that of full precision. */
import type { Answer } from '../engine/hosts/client.ts'

/** Of each token, whether full precision says another there; false where it has not come as far. `over`: it says no more. */
export function differences(ids: readonly number[], full: Pick<Answer, 'ids' | 'ended'>, over: boolean): boolean[] {
  const said = over || full.ended ? Number.POSITIVE_INFINITY : full.ids.length
  return ids.map((id, i) => i < said && id !== full.ids[i])
}
