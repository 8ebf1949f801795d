/** What is asked by --prompt, and how the answers read. */
import { describe, expect, it } from 'vitest'
import { Given, UsageError } from './arguments.ts'
import { type Continued, continuationText, promptOf } from './prompt.ts'

describe('--prompt', () => {
  it('has its usual length and takes the likeliest tokens, unless asked otherwise', () => {
    expect(promptOf(new Given({}))).toBeNull()
    expect(promptOf(new Given({ prompt: 'Once' }))).toEqual({ prompt: 'Once', tokens: 64, temperature: 0 })
    const given = { prompt: 'Once', 'prompt-tokens': '5', temperature: '0.7' }
    expect(promptOf(new Given(given))).toEqual({ prompt: 'Once', tokens: 5, temperature: 0.7 })
  })

  it.each([
    [{ prompt: 'a', temperature: 'warm' }, 'from 0 to 10, not "warm"'],
    [{ prompt: 'a', temperature: '' }, 'from 0 to 10, not ""'],
    [{ prompt: 'a', 'prompt-tokens': '257' }, 'up to 256, not 257'],
    [{ prompt: 'a', 'dry-run': true }, '--dry-run does not read'],
  ])('refuses %o', (values, message) => {
    expect(() => promptOf(new Given(values))).toThrow(UsageError)
    expect(() => promptOf(new Given(values))).toThrow(message)
  })

  it('says where texts part, and shows what a terminal would obey', () => {
    const answer = (run: string | null, words: string[], probabilities: number[]) => ({
      run,
      ids: words.map((word) => word.length),
      words,
      probabilities,
      ended: false,
    })
    const said: Continued = {
      asked: { prompt: 'Once', tokens: 2, temperature: 0, seed: 0 },
      length: 1,
      full: answer(null, [' upon', ' a'], [0.9, 0.5]),
      runs: new Map([
        ['other', answer('other', [' upon', '\x1b[2J\n'], [0.9, 0.125])],
        ['near', answer('near', [' upon', '!'], [0.9, 0.4996])],
        ['same', answer('same', [' upon', ' a'], [0.9, 0.5])],
      ]),
    }
    expect(continuationText(said)).toBe('Prompt: Once\nContinued as stored:  upon a\n')
    expect(continuationText(said, 'other')).toContain(
      'They part at token 2: “\\x1b[2J\n”, to which full precision gave 12.5 %; its own “ a” had 50.0 %.',
    )
    expect(continuationText(said, 'near')).toContain('gave 49.96 %; its own “ a” had 50.00 %.')
    expect(continuationText(said, 'same')).toContain('The same 2 tokens.')
  })
})
