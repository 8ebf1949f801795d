/** The field of one option, by its declaration. */
import { type Options, type OptionSpec, type OptionValue, withoutEffect } from '../../options.ts'
import * as format from '../format.ts'
import { isFraction, optionValue, stepOf } from '../plan.ts'
import { AutoOption } from './auto-option.tsx'
import { Choice, Field, NumberField, Switch } from './fields.tsx'

interface OptionFieldProps {
  /** Whose option it is: sets apart the fields of the same option on the page. */
  owner: string
  spec: OptionSpec
  options: Options
  /** All options of the run, which may leave this one without effect; `formats`: those that the run is written in, where known. */
  specs: readonly OptionSpec[]
  formats?: readonly string[] | null
  /** Its place in the job, where it has one: what the check finds wrong there is said at the field. */
  path?: string
  onChange: (value: OptionValue) => void
}

export function OptionField({ owner, spec, options, specs, formats = null, path, onChange: change }: OptionFieldProps) {
  const value = optionValue(spec, options)
  // What was changed and has none, the check says itself.
  const idle = value === spec.default ? withoutEffect(spec, specs, options, formats) : null
  const note = idle === null ? undefined : `No effect ${idle}.`
  const shared = { label: spec.label, help: spec.help, cost: spec.cost, symbol: spec.symbol, note, path }
  switch (spec.type) {
    case 'choice':
      if (spec.choices.length > 6) {
        return (
          <Field {...shared}>
            {(control) => (
              <select
                {...control}
                className="input"
                value={String(value)}
                onChange={(event) => change(spec.choices.find((choice) => String(choice.value) === event.target.value)!.value)}
              >
                {spec.choices.map((choice) => (
                  <option key={choice.value} value={String(choice.value)}>
                    {choice.label}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )
      }
      return (
        <Field {...shared} group>
          {() => <Choice name={`${owner}-${spec.key}`} value={value as number | string} choices={spec.choices} onChange={change} />}
        </Field>
      )
    case 'auto':
      return <AutoOption {...shared} spec={spec} value={value as number | 'auto'} onChange={change} />
    case 'bool':
      return <Field {...shared}>{(control) => <Switch {...control} checked={value === true} onChange={change} />}</Field>
    default:
      return (
        <Field {...shared}>
          {(control) => (
            <span className="row tight">
              <NumberField
                {...control}
                value={value as number}
                whole={spec.type === 'int'}
                step={stepOf(spec)}
                min={spec.min}
                max={spec.max}
                onChange={change}
              />
              {isFraction(spec) && <span className="hint figures">= {format.fraction(value as number)}</span>}
            </span>
          )}
        </Field>
      )
  }
}
