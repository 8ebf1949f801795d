/**
 * A reading: values being read from the GPU. Waiting costs a round trip to the GPU, in Firefox up to 100 ms regardless of size, so
 * nothing waits until a value is needed: the first `then` maps all pending readings in one wait. An `async` function must not return a
 * bare reading, since that would await it.
 */
export class Reading<T> implements PromiseLike<T> {
  #value: Promise<T> | null = null

  /** `start` begins the wait, called at most once. */
  constructor(readonly start: () => Promise<T>) {}

  /** A value that is here already. */
  static of<T>(value: T): Reading<T> {
    return new Reading(async () => value)
  }

  /** All of them, in one wait. */
  static all<T extends readonly unknown[]>(readings: { readonly [I in keyof T]: PromiseLike<T[I]> }): Reading<T> {
    return new Reading(() => Promise.all(readings) as unknown as Promise<T>)
  }

  // biome-ignore lint/suspicious/noThenProperty: awaiting it is what makes it begin
  then<A = T, B = never>(
    use?: ((value: T) => A | PromiseLike<A>) | null,
    fail?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#value ??= this.start()
    return this.#value.then(use, fail)
  }

  /** What `use` makes of the value once it is here. */
  map<U>(use: (value: T) => U | PromiseLike<U>): Reading<U> {
    return new Reading(() => this.then(use))
  }
}
