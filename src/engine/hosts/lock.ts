/** A lock file that names the process using the files next to it, so that no two processes write the same files. */
import { linkSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { WorkbenchError } from '../../errors.ts'

export interface LockHolder {
  program: 'quantease-workbench'
  pid: number
  host: string
  /** ISO time at which it took the lock. */
  started: string
  /** On Linux: boot id of the machine, namespace of process ids and start tick of the process, to detect a reused process id. */
  birth: string | null
}

/** A lock that is held. */
export interface Lock {
  /** May be called at any time, also while the process exits. */
  release(): void
  /** Begins a new lease. Whether the lock is still this process's. */
  renew(): boolean
}

/**
 * Takes the lock. That of a process that has ended is taken over, and reported by `say`; with a `lease`, in seconds, also that of a
 * process which cannot be seen from here and has not renewed its lock for so long. Synchronous, because it has to be released while the
 * process exits.
 * @throws WorkbenchError `journal-busy` when another process has it, `option-invalid` when the file is not a lock of this program
 */
export function takeLock(path: string, say: (sentence: string) => void, self = thisProcess(), lease = Number.POSITIVE_INFINITY): Lock {
  const text = `${JSON.stringify(self)}\n`
  for (let tries = 0; tries < 5; tries++) {
    if (createWhole(path, text)) return { release: () => giveBack(path, text), renew: () => renewed(path, text) }
    const found = read(path)
    if (found === null) continue
    const holder = parse(found)
    if (!holder) {
      throw new WorkbenchError(
        'option-invalid',
        `${path} is not a lock file of this program, which needs a file of this name.`,
        'Choose another folder, or move that file.',
      )
    }
    const who = `process ${holder.pid} on ${holder.host} since ${holder.started}`
    const lapsed = !isSeen(holder, self) && ageOf(path) > lease
    if (!isGone(holder, self) && !lapsed) {
      const elsewhere = holder.host === self.host ? '' : ` If it is no longer running there, delete ${path}.`
      throw new WorkbenchError(
        'journal-busy',
        `Another run is writing to ${path.replace(/\.lock$/, '')}: ${who}.`,
        `Wait until it has finished, or choose another folder.${elsewhere}`,
      )
    }
    const why = lapsed ? `has not renewed its lock for ${lease} s` : 'is no longer running'
    if (takeAway(path, found)) say(`Took over from ${who}, which ${why}.`)
  }
  throw new WorkbenchError('journal-busy', `Another run is taking ${path} at this moment.`, 'Try again.')
}

/** Whether the process of a lock could be seen from here, if it were running: on the same machine, in the same container. */
function isSeen(holder: LockHolder, self: LockHolder): boolean {
  if (holder.host !== self.host) return false
  const [a, b] = [holder, self].map(({ birth }) => birth?.split(' ')[1])
  return !a || !b || a === b
}

/** Seconds since a file was last written, by the clock of its own file system: machines that share it may differ. */
function ageOf(path: string): number {
  const probe = beside(path)
  try {
    writeFileSync(probe, '')
    return (statSync(probe).mtimeMs - statSync(path).mtimeMs) / 1000
  } catch {
    return 0
  } finally {
    rmSync(probe, { force: true })
  }
}

function renewed(path: string, content: string): boolean {
  if (read(path) !== content) return false
  try {
    writeFileSync(path, content, { flag: 'r+' })
  } catch {
    // A full disk ends the lease sooner, no more.
  }
  return true
}

/** Whether the lock's process has ended, if this can be determined. */
export function isGone(holder: LockHolder, self: LockHolder): boolean {
  if (holder.host !== self.host) return false
  if (holder.birth && self.birth) {
    const [boot, space] = self.birth.split(' ')
    const [thenBoot, thenSpace] = holder.birth.split(' ')
    if (boot !== thenBoot) return true
    // In another container, the same process id is another process.
    return space === thenSpace && birthOf(holder.pid) !== holder.birth
  }
  try {
    process.kill(holder.pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

export function thisProcess(): LockHolder {
  const { pid } = process
  return { program: 'quantease-workbench', pid, host: hostname(), started: new Date().toISOString(), birth: birthOf(pid) }
}

function birthOf(pid: number): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const space = readlinkSync('/proc/self/ns/pid')
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Parsed after the program's name, which may contain anything: state is field 3, the start tick field 22.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie: ended, but not yet waited for.
    return fields[0] === 'Z' ? null : `${boot} ${space} ${fields[19]}`
  } catch {
    return null
  }
}

/** Creates the file with its whole content at once, unless it exists. Returns whether it was created. */
function createWhole(path: string, text: string): boolean {
  const draft = beside(path)
  try {
    writeFileSync(draft, text, { flag: 'wx' })
    try {
      linkSync(draft, path)
      return true
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') return false
      // File systems without hard links: another process may then see the file before its content.
      writeFileSync(path, text, { flag: 'wx' })
      return true
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    throw new WorkbenchError(
      code === 'ENOSPC' || code === 'EDQUOT' ? 'storage-full' : 'storage-failed',
      `${path} cannot be written: ${message}.`,
      'Choose another folder.',
      { cause: error },
    )
  } finally {
    rmSync(draft, { force: true })
  }
}

/** Removes the lock if it has this content; a lock taken meanwhile is restored. */
function takeAway(path: string, content: string): boolean {
  const away = beside(path)
  try {
    renameSync(path, away)
  } catch {
    return false
  }
  if (read(away) === content) {
    unlinkSync(away)
    return true
  }
  try {
    linkSync(away, path)
  } finally {
    rmSync(away, { force: true })
  }
  return false
}

function giveBack(path: string, content: string): void {
  if (read(path) === content) rmSync(path, { force: true })
}

function read(path: string): string | null {
  try {
    // A lock is one line; a larger file is none.
    return statSync(path).size > 4096 ? '' : readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    return ''
  }
}

function parse(text: string): LockHolder | null {
  try {
    const value: Partial<LockHolder> | null = JSON.parse(text)
    const { program, pid, host, started, birth = null } = value ?? {}
    if (program !== 'quantease-workbench' || !Number.isSafeInteger(pid) || pid! <= 0) return null
    return typeof host === 'string' && typeof started === 'string' ? { program, pid: pid!, host, started, birth } : null
  } catch {
    return null
  }
}

const beside = (path: string) => `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`
