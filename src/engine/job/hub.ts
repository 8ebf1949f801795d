/** What the Hub says of a model before it is opened, and the cache of its files. */
import type { Refs } from '../../io/hub/answers.ts'
import type { HubOrigin, Problem } from './model.ts'

export type { Hit as HubHit } from '../../io/hub/answers.ts'
export type { Traffic } from '../../io/hub/traffic.ts'

/** The Hub's information about a model before it is opened. */
export interface HubModel {
  source: HubOrigin
  /** Supported family; null if the model has none. */
  familyLabel: string | null
  /** `model_type` of config.json, when there is one. */
  modelType: string | null
  parameters: number | null
  /** The safetensors at this revision; 0 when there are none. */
  bytes: number
  license: string | null
  gated: false | 'auto' | 'manual'
  private: boolean
  downloads: number
  likes: number
  /** ISO date. */
  updated: string
  revisions: Refs
  /** Pull requests with safetensors, searched when this revision has none; open one with its `name` as revision. */
  conversions: (Refs['pulls'][number] & { bytes: number })[]
  /** Errors that prevent opening it, and remarks. */
  problems: Problem[]
}

/** State of the cache of Hub files. Sizes in bytes. */
export interface CacheInfo {
  bytes: number
  /** Largest size, set by the user. */
  budget: number
  /** Why nothing is added any more; null while the cache works. */
  full: string | null
  /** What this page stores in the browser, and how much the browser allows. */
  usage: number
  quota: number
  /** Whether the browser has agreed not to clear it. */
  persisted: boolean
}
