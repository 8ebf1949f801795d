/** Reading a config.json: one way to check fields, and one way to refuse what is wrong or not supported. */
import { z } from 'zod'
import { WorkbenchError } from '../errors.ts'

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
    for (const old of older) {
      if (given[old] == null) continue
      if (config[name] != null && config[name] !== given[old]) {
        throw invalid(`${old} is ${JSON.stringify(given[old])}, but ${name} is ${JSON.stringify(config[name])}`)
      }
      config[name] = given[old]
    }
  }
  return config
}

/** The kernels read four values at a time. @throws WorkbenchError `config-unsupported` */
export function requireFours(sizes: Record<string, number>): void {
  for (const [field, value] of Object.entries(sizes)) {
    if (value % 4) throw unsupported(`${field} is ${value}`, 'The GPU kernels need sizes that 4 divides.')
  }
}

export function invalid(what: string): WorkbenchError {
  return new WorkbenchError('config-invalid', `config.json: ${what}.`, 'Download the file again, or correct that field.')
}

export function unsupported(what: string, hint: string): WorkbenchError {
  return new WorkbenchError('config-unsupported', `config.json: ${what}.`, hint)
}
