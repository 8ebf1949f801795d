import type { Problem } from '../job/model.ts'

/** Errors and remarks about a job, in the order in which they were found. */
export class Findings {
  readonly problems: Problem[] = []

  fail(field: string, code: Problem['code'], message: string, hint = ''): void {
    this.problems.push({ severity: 'error', code, message, hint, field })
  }

  warn(field: string, message: string, hint = '', severity: 'warning' | 'note' = 'warning'): void {
    this.problems.push({ severity, code: 'note', message, hint, field })
  }

  /** Whether a value is a whole number in its range; if not, adds an error. */
  whole(field: string, label: string, value: number, min: number, max: number): boolean {
    if (Number.isInteger(value) && value >= min && value <= max) return true
    this.fail(field, 'option-invalid', `${label} has to be a whole number from ${min} to ${max}, not ${value}.`)
    return false
  }
}
