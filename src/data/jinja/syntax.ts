/** What a template is made of: statements and expressions, as the parser gives them. */

export interface Arguments {
  positional: Expression[]
  named: [string, Expression][]
  /** `*args` and `**kwargs`. */
  spread: Expression | null
  namedSpread: Expression | null
}

export type Expression =
  | { type: 'constant'; value: null | boolean | string | bigint | number }
  | { type: 'name'; name: string }
  | { type: 'list' | 'tuple'; items: Expression[] }
  | { type: 'dict'; entries: [Expression, Expression][] }
  | { type: 'and' | 'or'; left: Expression; right: Expression }
  | { type: 'not'; value: Expression }
  | { type: 'unary'; sign: string; value: Expression }
  | { type: 'binary'; sign: string; left: Expression; right: Expression }
  | { type: 'concat'; parts: Expression[] }
  | { type: 'compare'; first: Expression; others: { sign: string; value: Expression }[] }
  | { type: 'choice'; test: Expression; yes: Expression; no: Expression | null; line: number }
  | { type: 'attribute'; of: Expression; name: string }
  | { type: 'item'; of: Expression; key: Expression }
  | { type: 'slice'; start: Expression | null; stop: Expression | null; step: Expression | null }
  | { type: 'call'; of: Expression; args: Arguments }
  /** `of` null: filters the content of the enclosing block. */
  | { type: 'filter'; of: Expression | null; name: string; args: Arguments }
  | { type: 'test'; of: Expression; name: string; args: Arguments }

export type Target =
  | { type: 'name'; name: string }
  | { type: 'tuple'; items: Target[] }
  /** `{% set ns.attribute = … %}` */
  | { type: 'member'; name: string; attribute: string }

export interface Signature {
  names: string[]
  /** Of the last names. */
  defaults: Expression[]
}

export type Statement =
  | { type: 'text'; text: string }
  | { type: 'output'; value: Expression }
  | { type: 'set'; target: Target; value: Expression }
  | { type: 'set-block'; target: Target; filter: Expression | null; body: Statement[] }
  | { type: 'if'; branches: { test: Expression; body: Statement[] }[]; otherwise: Statement[] }
  | {
      type: 'for'
      target: Target
      over: Expression
      test: Expression | null
      recursive: boolean
      body: Statement[]
      otherwise: Statement[]
    }
  | { type: 'with'; targets: Target[]; values: Expression[]; body: Statement[] }
  | { type: 'macro'; name: string; signature: Signature; body: Statement[] }
  | { type: 'call-block'; signature: Signature; call: Extract<Expression, { type: 'call' }>; body: Statement[] }
  | { type: 'filter-block'; filter: Expression; body: Statement[] }
  /** transformers' own tag, around what the model itself generates. */
  | { type: 'generation'; body: Statement[] }
  | { type: 'break' | 'continue' }

export function namesOf(target: Target): string[] {
  return target.type === 'tuple' ? target.items.flatMap(namesOf) : target.type === 'name' ? [target.name] : []
}
