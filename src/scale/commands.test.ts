/** The words of the command line for more than one machine. */
import { afterEach, expect, test, vi } from 'vitest'
import { commands } from './commands.ts'
import { exitCodeOf, worded } from './exit.ts'
import { exampleSweep, readSweep } from './sweep-file.ts'

afterEach(() => vi.restoreAllMocks())

/** What is said on stdout, or what it ends with. */
async function run(...words: string[]): Promise<string> {
  const said: string[] = []
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => said.push(String(text)) > 0)
  const [word, ...rest] = words
  return commands[word](rest).then(
    () => said.join(''),
    (error) => `${exitCodeOf(error)}: ${worded(error)}`,
  )
}

test('the example is a sweep file', async () => {
  expect(readSweep(new TextEncoder().encode(await run('sweep', 'example')), 'example')).toEqual(exampleSweep)
  for (const words of [['--help'], ['run', '--help']]) expect(await run('sweep', ...words)).toContain('sweep plan SWEEP.json --out DIR')
})

test.each([
  [['sweep', 'constructor'], /^64: sweep can be example, plan, run, report, not "constructor"\. sweep --help says what each does\.$/],
  [['sweep'], /^64: sweep can be .*, not ""\. sweep --help says/],
  [['sweep', 'run', 'nowhere', '--index'], /^64: Option '--index.*' argument missing\. --help lists the arguments\.$/],
  [['sweep', 'run', 'nowhere', '--index', '-1'], /^66: There is no plan in nowhere/],
  [['solve'], /^64: --model is needed: .*"demo"\.$/],
  [['sweep', 'plan', 'sweep.json'], /^64: sweep plan needs a sweep file and --out DIR/],
  [['sweep', 'plan', 'nowhere.json', '--out', 'x'], /^66: The sweep file nowhere\.json cannot be read/],
  [['sweep', 'run', 'nowhere', '--index', '0'], /^66: There is no plan in nowhere/],
  [['sweep', 'run', 'nowhere'], /^64: sweep run needs the folder of a sweep and --index/],
  [['sweep', 'run', '--job', 'nowhere/job.json'], /^66: There is no job file nowhere/],
  [['sweep', 'report', 'nowhere'], /^66: There is no plan in nowhere/],
  [['sweep', 'report', '--colour'], /^64: Unknown option '--colour'/],
  [['solve', '--model', 'demo', '--dataset', 'c4'], /^64: --dataset cannot be given with solve/],
  [['solve', '--model', 'demo', '--override', 'down_proj:keep'], /^64: --override cannot be given with solve/],
  [['assemble', '--model', 'demo'], /^64: --gram STORE is needed/],
  [['calibrate', '--model', 'demo'], /^64: calibrate needs --save-gram STORE/],
  [['calibrate', '--model', 'demo', '--save-gram', 'x', '--solve-elsewhere'], /^64: --solve-elsewhere needs --quantization-method/],
])('%j', async (words, message) => {
  expect(await run(...words)).toMatch(message)
})
