/** The processes between npm and the engine: exit codes come up through them, signals and the news of a death go down. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { alone, status } from './setup.mjs'

const door = JSON.stringify(resolve('src/setup.mjs'))
/** A program that hands over to another one, which waits to be told. */
const above = (inner: string, options: string) =>
  `import { status } from ${door}\nprocess.exit(await status(['-e', ${JSON.stringify(inner)}], ${options}))`
const waiting = `process.on('SIGTERM', () => { console.log('told'); process.exit(75) }); setInterval(() => {}, 1000); console.log('waiting')`
const hanging = `process.once('disconnect', () => { console.log('told'); process.exit() }); console.log('waiting')`

/** Starts a program, kills it when the inner one waits, and returns what the inner one says after that. */
async function killed([program, ...args]: string[], signal: NodeJS.Signals, env = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } })
  const ended = new Promise((resolve) => child.once('exit', (code, by) => resolve(code ?? by)))
  let said = ''
  for await (const chunk of child.stdout) {
    if (!said) child.kill(signal)
    said += chunk
  }
  return [said.trim().split('\n'), await ended]
}

test('a program that dies of a signal has the exit code that shells give it', async () => {
  expect(await status(['-e', 'process.exit(75)'], {})).toBe(75)
  expect(await status(['-e', 'process.kill(process.pid, "SIGKILL")'], {})).toBe(137)
})

test.skipIf(process.platform === 'win32')('a signal reaches the engine, also where npm’s shell keeps it to itself', async () => {
  const node = [process.execPath, '--input-type=module', '-e']
  expect(await killed([...node, above(waiting, '{}')], 'SIGTERM')).toEqual([['waiting', 'told'], 75])
  const shell = ['sh', '-c', '"$0" --input-type=module -e "$1"; true', process.execPath, above(waiting, '{}')]
  expect(await killed(shell, 'SIGTERM', { npm_lifecycle_event: 'quantize' })).toEqual([['waiting', 'told'], 'SIGTERM'])
  const channel = `{ stdio: ['inherit', 'inherit', 'inherit', 'ipc'] }`
  expect(await killed([...node, above(hanging, channel)], 'SIGKILL')).toEqual([['waiting', 'told'], 'SIGKILL'])
})

test('one process at a time builds, and one that died holds up nobody', async () => {
  const lock = join(mkdtempSync(join(tmpdir(), 'workbench-lock-')), 'lock')
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  writeFileSync(lock, String(pid))
  const said: string[] = []
  let release = () => {}
  const first = alone(async () => {
    said.push('first begins')
    await new Promise<void>((done) => {
      release = done
    })
    said.push('first ends')
  }, lock)
  await expect.poll(() => said).toEqual(['first begins'])
  const second = alone(async () => said.push('second'), lock)
  release()
  await Promise.all([first, second])
  expect(said).toEqual(['first begins', 'first ends', 'second'])
  await expect(alone(async () => Promise.reject(new Error('no build')), lock)).rejects.toThrow('no build')
  expect(existsSync(lock)).toBe(false)
})
