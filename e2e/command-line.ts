/** The command line as tests call it. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { suiteAdapter } from '../src/setup.mjs'

export interface Ended {
  status: number
  stdout: string
  stderr: string
}

async function ended(program: string, args: string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  const { stdout, stderr, code = 0 } = await promisify(execFile)(program, args, { env, maxBuffer: 1 << 26 }).catch((error) => error)
  return { status: code, stdout, stderr }
}

/** As people call it: `npm run quantize` installs, bundles, and looks for an adapter first. */
export const throughNpm = (...args: string[]) => ended('npm', ['run', '--silent', 'quantize', '--', ...args], process.env)

let environment: Promise<NodeJS.ProcessEnv> | undefined

/** Has it compute on the adapter of these tests. */
export const onSuiteAdapter = async (): Promise<NodeJS.ProcessEnv> => ({
  ...process.env,
  ...(await suiteAdapter()),
  QUANTEASE_SOFTWARE: '1',
})

/** What npm's way comes to, found once: the bundle is there, and the adapter is known. */
async function prepare(): Promise<NodeJS.ProcessEnv> {
  const { status, stderr } = await throughNpm('--help')
  if (status) throw new Error(`The command line could not be bundled:\n${stderr}`)
  return onSuiteAdapter()
}

/** The bundle itself on the adapter of these tests, without what npm's way does before it each time. */
export async function quantize(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  environment ??= prepare()
  return ended(process.execPath, ['dist-cli/cli/cli.js', ...args], { ...(await environment), ...env })
}
