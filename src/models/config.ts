/** Reads fields of config.json, and the errors for wrong or unsupported ones. */
import { z } from '../io/zod.ts'
import { WorkbenchError } from '../errors.ts'
import { agreed } from '../io/facts.ts'

export const size = z
  .number()
  .int()
  .positive()
  .max(2 ** 24)

/** The fields of a schema. @throws WorkbenchError `config-invalid` naming the first that is missing or wrong */
export function parseConfig<T>(schema: z.ZodType<T>, given: Record<string, unknown>): T {
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]
  throw invalid(`${path.join('.')}: ${message.replace(/\.$/, '')}`)
}

/**
 * Older spellings moved to the present one. @throws WorkbenchError `config-invalid` when two spellings disagree
 * @param spellings present name to older names
 */
export function respelled(given: Record<string, unknown>, spellings: Record<string, string[]>): Record<string, unknown> {
  const config = { ...given }
  for (const [name, older] of Object.entries(spellings)) {
    const value = agreed([name, ...older].map((where) => ({ where, says: given[where] })))
    if (value !== undefined) config[name] = value
  }
  return config
}

/**
 * Width of a head where the hidden size is divided among the heads; a `head_dim` has to say the same.
 * @throws WorkbenchError `config-invalid`
 */
export function headWidth(given: Record<string, unknown>, hidden: number, heads: number): number {
  if (hidden % heads) throw invalid(`hidden_size ${hidden} cannot be divided among ${heads} attention heads`)
  const where = 'hidden_size / num_attention_heads'
  return agreed([
    { where, says: hidden / heads },
    { where: 'head_dim', says: given.head_dim },
  ]) as number
}

/** The kernels read four values at a time. @throws WorkbenchError `config-unsupported` */
export function requireFours(sizes: Record<string, number>): void {
  for (const [field, value] of Object.entries(sizes)) {
    if (value % 4) throw unsupported(`${field} is ${value}`, 'The GPU kernels need sizes that are multiples of 4.')
  }
}

export function invalid(what: string): WorkbenchError {
  return new WorkbenchError('config-invalid', `config.json: ${what}.`, 'Compare the field with the published config.json, and correct it.')
}

export function unsupported(what: string, hint: string): WorkbenchError {
  return new WorkbenchError('config-unsupported', `config.json: ${what}.`, hint)
}
