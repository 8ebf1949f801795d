import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { WorkbenchError } from '../../errors.ts'
import { isGone, type LockHolder, takeLock, thisProcess } from './lock.ts'

let folder: string
let path: string
const said: string[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'workbench-lock-'))
  path = join(folder, 'out.lock')
  said.length = 0
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const take = () => takeLock(path, (sentence) => said.push(sentence))
const heldBy = (holder: Partial<LockHolder>) => writeFileSync(path, JSON.stringify({ ...thisProcess(), ...holder }))

function refusal(): WorkbenchError {
  try {
    take()
  } catch (error) {
    return error as WorkbenchError
  }
  throw new Error('It was taken.')
}

/** The number of a process that has ended. */
const ended = () => spawnSync(process.execPath, ['-e', '']).pid!

test('is held by one until it is given back, and leaves nothing', () => {
  const { release } = take()
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pid: process.pid, program: 'quantease-workbench' })
  const { code, message } = refusal()
  expect(code).toBe('journal-busy')
  expect(message).toMatch(new RegExp(`process ${process.pid} on \\S+ since 20\\d\\d-`))
  release()
  expect(readdirSync(folder)).toEqual([])
  take().release()
  expect([readdirSync(folder), said]).toEqual([[], []])
})

test('of a process that is gone is taken over, with a sentence', () => {
  for (const birth of [null, thisProcess().birth]) {
    const pid = ended()
    heldBy({ pid, birth })
    take().release()
    expect(said.splice(0)).toEqual([expect.stringContaining(`process ${pid} on `)])
  }
})

test('of a process that lives, on this machine or perhaps on another, is not', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'])
  try {
    heldBy({ pid: child.pid!, birth: null })
    expect(refusal().message).toContain(`process ${child.pid} on`)
  } finally {
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('exit', resolve))
  }
  take().release()
  heldBy({ pid: ended(), host: 'elsewhere' })
  expect(refusal()).toMatchObject({ code: 'journal-busy', hint: expect.stringContaining(`delete ${path}`) })
})

test('of a process that cannot be seen is taken over when its lease is over, and not while it is renewed', () => {
  const lease = () => takeLock(path, (sentence) => said.push(sentence), undefined, 100)
  heldBy({ host: 'elsewhere' })
  expect(() => lease()).toThrow('Another run')
  const longAgo = new Date(Date.now() - 200_000)
  utimesSync(path, longAgo, longAgo)
  const held = lease()
  expect(said).toEqual([expect.stringContaining('has not renewed its lock for 100 s')])
  // One that can be seen lives, however old its lock is.
  utimesSync(path, longAgo, longAgo)
  expect(() => lease()).toThrow('Another run')
  expect([held.renew(), Date.now() - statSync(path).mtimeMs < 100_000]).toEqual([true, true])
  heldBy({ host: 'elsewhere' })
  expect(held.renew()).toBe(false)
})

test.runIf(process.platform === 'linux')('of a process that has ended but was not waited for is taken over', async () => {
  // A shell that becomes another program, which will not wait for the shell's child; the child ends with a line of input.
  const script = 'exec 3<&0; (read line <&3) & echo $!; exec sleep 60'
  const parent = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'] })
  try {
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)))
    while (readFileSync(`/proc/${parent.pid}/comm`, 'utf8') !== 'sleep\n') await new Promise(setImmediate)
    parent.stdin.write('\n')
    while (!/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) await new Promise(setImmediate)
    heldBy({ pid })
    take().release()
    expect(said).toHaveLength(1)
  } finally {
    parent.kill('SIGKILL')
  }
})

test('tells a process from a later one with the same number', () => {
  const self: LockHolder = { ...thisProcess(), birth: 'boot pid:[1] 7' }
  const holder = (birth: string | null, more: Partial<LockHolder> = {}): LockHolder => ({ ...self, pid: ended(), birth, ...more })
  expect(isGone(holder('earlier-boot pid:[1] 7'), self)).toBe(true)
  expect(isGone(holder('boot pid:[1] 8'), self)).toBe(true)
  // The processes of another container cannot be seen.
  expect(isGone(holder('boot pid:[2] 8'), self)).toBe(false)
  expect(isGone(holder(null, { pid: process.pid }), self)).toBe(false)
  if (process.platform === 'linux') {
    const me = thisProcess()
    expect(isGone(me, me)).toBe(false)
    expect(isGone({ ...me, birth: me.birth!.replace(/\d+$/, '1') }, me)).toBe(true)
  }
})

test('that is given back after somebody else took it stays theirs', () => {
  const { release } = take()
  heldBy({ pid: process.ppid })
  release()
  expect(JSON.parse(readFileSync(path, 'utf8')).pid).toBe(process.ppid)
})

test.each(['', '{}', 'null', '[[package]]', '{"program":"quantease-workbench","pid":-1,"host":"x","started":"y"}', 'x'.repeat(9999)])(
  'a file that is no lock of ours (%j) is left alone',
  (content) => {
    writeFileSync(path, content)
    expect(refusal()).toMatchObject({ code: 'option-invalid', message: expect.stringContaining('not a lock') })
    expect(readFileSync(path, 'utf8')).toBe(content)
    expect(readdirSync(folder)).toEqual(['out.lock'])
  },
)
