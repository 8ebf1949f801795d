/** What a loop of a template has: `loop`, and the ways out of it. */
import { bind } from './arguments.ts'
import { TemplateError } from './meter.ts'
import { Callable, equal, Instance, iterate, Iter, lengthOf, Undefined, type Value } from './values.ts'

/** `loop` within a loop. */
export class Loop {
  index0 = -1
  #before: Value | undefined
  #current: Value | undefined
  #after: IteratorResult<Value> | null = null
  #changed: Value[] | null = null
  #size: number | null
  #source: Iterator<Value>

  constructor(
    over: Value,
    source: Iterator<Value>,
    readonly depth0: number,
    readonly again: ((over: Value, depth0: number) => string) | null,
  ) {
    this.#source = source
    this.#size = lengthOf(over)
  }

  next(): boolean {
    const result = this.#peek()
    this.#after = null
    if (result.done) return false
    this.index0++
    this.#before = this.#current
    this.#current = result.value
    return true
  }

  get item(): Value {
    return this.#current!
  }

  #peek(): IteratorResult<Value> {
    this.#after ??= this.#source.next()
    return this.#after
  }

  /** The length of a generator is known only after it is consumed. */
  #length(): number {
    if (this.#size === null) {
      const ahead = this.#after
      const rest = [...iterate(new Iter(this.#source))]
      this.#source = rest.values()
      this.#size = rest.length + this.index0 + 1 + (ahead && !ahead.done ? 1 : 0)
    }
    return this.#size
  }

  value(): Instance {
    const whole = (number: number) => BigInt(number)
    const attributes: Record<string, () => Value> = {
      index: () => whole(this.index0 + 1),
      index0: () => whole(this.index0),
      revindex: () => whole(this.#length() - this.index0),
      revindex0: () => whole(this.#length() - this.index0 - 1),
      first: () => this.index0 === 0,
      last: () => this.#peek().done === true,
      length: () => whole(this.#length()),
      depth: () => whole(this.depth0 + 1),
      depth0: () => whole(this.depth0),
      previtem: () => this.#before ?? (this.index0 ? null : new Undefined('there is no previous item')),
      nextitem: () => {
        const next = this.#peek()
        return next.done ? new Undefined('there is no next item') : next.value
      },
      cycle: () => new Callable('cycle', ({ positional }) => this.#cycle(positional)),
      changed: () => new Callable('changed', ({ positional }) => this.#isChanged(positional)),
    }
    return new Instance('LoopContext', (name) => (Object.hasOwn(attributes, name) ? attributes[name]() : undefined), {
      printed: () => `<LoopContext ${this.index0 + 1}/${this.#length()}>`,
      size: () => this.#length(),
      call: (args) => {
        if (!this.again) throw new TemplateError("The loop must have the 'recursive' marker to be called recursively.")
        return this.again(bind('loop', ['iterable'], args, 1)[0]!, this.depth0 + 1)
      },
    })
  }

  #cycle(items: Value[]): Value {
    if (!items.length) throw new TemplateError('no items for cycling given')
    return items[this.index0 % items.length]
  }

  #isChanged(values: Value[]): boolean {
    if (this.#changed && equal(this.#changed, values)) return false
    this.#changed = values
    return true
  }
}

export class Leave extends Error {
  constructor(readonly how: 'break' | 'continue') {
    super(how)
  }
}
