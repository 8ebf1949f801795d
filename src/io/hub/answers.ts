/** What the Hub answers: the parts that are used, and their shapes, by which answers are checked. */
import { z } from '../zod.ts'
import { escapes } from '../names.ts'
import { isObject } from '../json.ts'
import { dtypeBits } from '../safetensors.ts'

export interface Repo {
  type: 'model' | 'dataset'
  /** `owner/name`; a few old ones have no owner. */
  name: string
}

export interface Hit {
  name: string
  downloads: number
  likes: number
  gated: boolean
  private: boolean
  /** ISO date. */
  updated: string
  /** By the Hub's own count over the safetensors; null where there are none. */
  parameters: number | null
  /** Their size in bytes. */
  bytes: number | null
}

export const commit = z.string().regex(/^[0-9a-f]{40}$/)

export const repoFacts = z.object({
  name: z.string(),
  /** The commit that the revision points to now. */
  sha: commit,
  private: z.boolean(),
  gated: z.literal([false, 'auto', 'manual']),
  downloads: z.number(),
  likes: z.number(),
  updated: z.string(),
  license: z.string().nullable(),
  /** `model_type` of config.json, as the Hub read it. */
  modelType: z.string().nullable(),
  /** By the Hub's own count over the safetensors. */
  parameters: z.number().nullable(),
})

export type RepoFacts = z.infer<typeof repoFacts>

export const ref = z.object({
  /** Short name to show: `main`, `v1.0`, `refs/pr/3`. */
  name: z.string(),
  sha: z.string(),
})

export type Ref = z.infer<typeof ref>

/** Of the answer about a token, what is used. */
export const whoami = z.object({
  name: z.string(),
  orgs: z.array(z.object({ name: z.string() })).default([]),
  auth: z.object({ accessToken: z.object({ role: z.string().optional() }).optional() }).optional(),
})

export interface Account {
  name: string
  organizations: string[]
  /** The token is one for reading. A fine-grained one says what it may when it is used. */
  readOnly: boolean
}

export const repoRefs = z.object({ branches: z.array(ref), tags: z.array(ref), pulls: z.array(ref) })

export type Refs = z.infer<typeof repoRefs>

export const hubFile = z.object({
  path: z.string().refine((path) => escapes(path) === null),
  size: z.int().nonnegative(),
  /** SHA-256 of a large file, git's blob id of a small one. */
  hash: z.string(),
  xet: z.boolean(),
})

export type HubFile = z.infer<typeof hubFile>

/** How many pull requests are searched for a conversion to safetensors, newest first. */

/** Size of the safetensors that would be read: one file, or shards. */
export function weightBytes(files: readonly HubFile[]): number {
  const weights = files.filter(({ path }) => /^[^/]+\.safetensors$/.test(path))
  const single = weights.find(({ path }) => path === 'model.safetensors')
  const shards = weights.filter(({ path }) => /^model-\d+-of-\d+\.safetensors$/.test(path))
  return (single ? [single] : shards.length ? shards : weights).reduce((sum, { size }) => sum + size, 0)
}

/** Parameters and their bytes from the Hub's count of them by data type. */
export function sizesOf(safetensors: unknown): { parameters: number | null; bytes: number | null } {
  if (!isObject(safetensors) || !Number.isSafeInteger(safetensors.total)) return { parameters: null, bytes: null }
  const counts = isObject(safetensors.parameters) ? Object.entries(safetensors.parameters) : []
  const bytes = counts.reduce(
    (sum, [dtype, count]) => sum + (Number(count) * ((dtypeBits as Record<string, number>)[dtype] ?? Number.NaN)) / 8,
    0,
  )
  return { parameters: safetensors.total as number, bytes: counts.length && Number.isFinite(bytes) ? bytes : null }
}

export const count = (value: unknown) => (Number.isSafeInteger(value) ? (value as number) : 0)
export const date = (value: unknown) => (value instanceof Date && Number.isFinite(value.getTime()) ? value.toISOString() : '')
