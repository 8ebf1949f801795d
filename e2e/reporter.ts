import type { Reporter, SerializedError, TestModule } from 'vitest/node'

/** Closes a run with `N passed, N failed`, and `, N skipped` if any were, alone on the last line; one in which nothing passed has failed. */
export default class implements Reporter {
  #passed = 0
  #failed = 0
  #skipped = 0

  onInit() {
    // At exit, since other reporters print their summary after the last call to this one.
    process.once('exit', () => {
      process.stdout.write(`\n${this.#passed} passed, ${this.#failed} failed${this.#skipped ? `, ${this.#skipped} skipped` : ''}\n`)
      if (!this.#passed) process.exitCode ||= 1
    })
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]) {
    const count = (module: TestModule, state: 'passed' | 'failed' | 'skipped') => [...module.children.allTests(state)].length
    this.#passed = modules.reduce((sum, module) => sum + count(module, 'passed'), 0)
    this.#skipped = modules.reduce((sum, module) => sum + count(module, 'skipped'), 0)
    this.#failed = errors.length
    for (const module of modules) {
      // A file that failed without a failed test could not be loaded, or a hook of it threw.
      this.#failed += count(module, 'failed') || Number(module.state() === 'failed')
    }
  }
}
