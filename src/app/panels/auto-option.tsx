/** An option that is a number, or chosen by measuring. */
import type { ComponentProps } from 'react'
import type { OptionSpec } from '../../options.ts'
import { Field, NumberField, Switch } from './fields.tsx'

interface AutoOptionProps extends Omit<ComponentProps<typeof Field>, 'children' | 'group'> {
  spec: Extract<OptionSpec, { type: 'auto' }>
  value: number | 'auto'
  onChange: (value: number | 'auto') => void
}

export function AutoOption({ spec, value, onChange, ...field }: AutoOptionProps) {
  const { label, default: usual, min, max } = spec
  const given = usual === 'auto' ? min : usual
  return (
    <Field {...field} group>
      {({ id, ...control }) => (
        <span className="row tight">
          <Switch id={id} checked={value === 'auto'} onChange={(auto) => onChange(auto ? 'auto' : given)} />
          <label htmlFor={id}>auto</label>
          {value !== 'auto' && (
            <NumberField {...control} aria-label={label} value={value} step={0.05} min={min} max={max} onChange={onChange} />
          )}
        </span>
      )}
    </Field>
  )
}
