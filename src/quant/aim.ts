/** What is asked of a solver beside its own options: damping, and a target (`target.ts` has the formulas). */
import type { Options, OptionSpec } from '../options.ts'

/** What a solver is asked for. */
export interface Aim {
  /** λ, as a multiple of the mean diagonal of Σ̃. */
  damping: number
  /** α, from 0 to 1. */
  alpha: number
}

/** An aim of which parts are to be chosen by the held-out error. */
export interface AskedAim {
  damping: number | 'auto'
  alpha: number | 'auto'
  /** The solver damps by itself: `damping` only makes the target. */
  damps: boolean
}

/** Options of methods that take a target. */
export const targetOptions = [
  {
    key: 'target',
    flag: 'target',
    label: 'Target',
    type: 'choice',
    default: 'original',
    choices: [
      { value: 'original', label: 'original' },
      { value: 'corrected', label: 'corrected' },
    ],
    help: 'What a linear is to put out: what its weights make of its inputs as they are (original, as published), or, in part, what they make of the inputs in the full-precision model (corrected).',
    cost: 'Corrected: the calibration text goes through the full-precision blocks too, one more matrix as large as Σ for each group of linears, and about two more products.',
    advanced: true,
  },
  {
    key: 'targetAlpha',
    flag: 'target-alpha',
    label: 'Strength of the correction',
    type: 'auto',
    default: 'auto',
    min: 0,
    max: 1,
    help: 'The part of the difference that is corrected, from 0 to 1; auto chooses 0, ¼ or ½ by the error on held-out tokens, for each group of linears.',
    cost: 'Full strength overfits the calibration text; about a half is usually best.',
    idle: [{ key: 'target', is: ['original'] }],
    advanced: true,
  },
] as const satisfies readonly OptionSpec[]

/** Damping of a descent. */
export const ridgeOption = {
  key: 'ridge',
  flag: 'percdamp',
  label: 'Damping',
  type: 'auto',
  default: 0,
  min: 0,
  max: 10,
  help: 'What is added to the diagonal of Σ, as a multiple of its mean, so that the descent fits the calibration tokens less closely; auto chooses by the error on held-out tokens.',
  cost: 'No extra time; auto tries 0, 0.01, 0.1, 0.3 and 1 on 64 rows of each linear.',
  advanced: true,
} as const satisfies OptionSpec

/** What the options of a run ask for; null for what is published: W and Σ as they are. */
export function askedAim(options: Options, heldOut: boolean): AskedAim | null {
  const number = (value: unknown) => (value !== 'auto' ? Number(value ?? 0) : heldOut ? ('auto' as const) : 0)
  const alpha = options.target === 'corrected' ? number(options.targetAlpha) : 0
  const damps = 'ridge' in options
  const damping = number(damps ? options.ridge : options.damping)
  return alpha || (damps && damping) ? { damping, alpha, damps } : null
}
