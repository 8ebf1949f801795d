/** What the terminal may write over, and what it never touches: on real folders. */
import { spawnSync } from 'node:child_process'
import { cp, link, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import nodePath, { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toErrorData } from '../../errors.ts'
import { manifestName, readManifest } from './manifest.ts'
import { relation, Target } from './target.ts'

let base: string
let said: string[]
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'workbench-target-'))
  said = []
})
afterEach(() => rm(base, { recursive: true, force: true }))
const at = (...names: string[]) => join(base, ...names)

/** A folder with these files; `{}` is an empty one. */
async function folder(path: string, files: Record<string, string>) {
  await mkdir(path, { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    await mkdir(nodePath.dirname(join(path, name)), { recursive: true })
    await writeFile(join(path, name), text)
  }
}

/** Everything below a folder: path -> text, empty folders with a slash. */
async function contents(path: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    const full = join(entry.parentPath, entry.name)
    const name = nodePath.relative(path, full)
    if (entry.isDirectory()) {
      if (!(await readdir(full)).length) found[`${name}/`] = ''
    } else found[name] = entry.isSymbolicLink() ? '(link)' : await readFile(full, 'utf8')
  }
  return found
}

const claim = (path: string, more: { model?: string; overwrite?: boolean } = {}) =>
  Target.claim({ path, model: null, overwrite: false, say: (sentence) => said.push(sentence), ...more })

/** Writes a checkpoint up to `commit`, which is left to the caller. */
async function written(target: Target, files: Record<string, string>) {
  const sink = await target.sink()
  for (const [name, text] of Object.entries(files)) {
    const bytes = new TextEncoder().encode(text)
    const file = await sink.create(name, bytes.length)
    await file.write(bytes, 0)
    await file.close()
  }
  return sink
}

async function save(path: string, files: Record<string, string>, more = {}) {
  const target = await claim(path, more)
  await (await written(target, files)).commit()
  target.release()
}

const model = { 'config.json': '{}', 'model.safetensors': 'weights' }
const made = { 'config.json': '{"new":1}', 'model.safetensors': 'codes', 'notes/extra.txt': 'x' }

async function refused(attempt: Promise<unknown>, ...words: (string | RegExp)[]) {
  const { code, message } = toErrorData(
    await attempt.then(
      () => expect.unreachable(),
      (error) => error,
    ),
  )
  expect(code).toBe('option-invalid')
  for (const word of words) expect(message).toMatch(word)
}

describe('a place that is refused', () => {
  test('the folder of the model, one in it, one around it, and one that holds a file that it links to', async () => {
    await folder(at('models/m'), model)
    await folder(at('blobs'), { abc: 'weights' })
    await folder(at('snapshot'), { 'config.json': '{}' })
    await symlink('../blobs/abc', at('snapshot/model.safetensors'))
    await symlink('models/m', at('linked'))
    await symlink('m', at('models/other-name'))
    const before = await contents(base)
    const m = { model: at('models/m'), overwrite: true }
    await refused(claim(at('models/m'), m), /is the model’s own folder/)
    await refused(claim(at('models/m/'), m), /is the model’s own folder/)
    await refused(claim(at('models/../models/m'), m), /own folder/)
    await refused(claim(at('linked'), m), /own folder/)
    await refused(claim(at('models/m'), { model: at('linked') }), /own folder/)
    await refused(claim(at('models/m/out'), m), /is inside the model’s folder/)
    await refused(claim(at('linked/deep/out'), m), /is inside the model’s folder/)
    await refused(claim(at('models'), m), /contains the model’s folder/)
    await refused(claim('/', m), /contains the model’s folder/)
    await refused(claim(at('blobs'), { model: at('snapshot') }), /would change the model/, /blobs\/abc/)
    expect(await contents(base)).toEqual(before)
    // Beside it is fine.
    ;(await claim(at('models/m-quantized'), m)).release()
  })

  test('a file, a link to nowhere, and names of what lies beside a checkpoint', async () => {
    await folder(base, { 'out.txt': 'mine' })
    await symlink('nowhere', at('dangling'))
    await refused(claim(at('out.txt')), /is a file/)
    await refused(claim(at('dangling')), /is a broken link/)
    await refused(claim(at('dangling/deeper')), /is a broken link/)
    await refused(claim(''), /needs the name/)
    for (const name of ['a.partial', 'a.journal', 'a.replaced', 'a.lock']) await refused(claim(at(name)), /Choose another name|ends in/)
    await folder(base, { 'poetry.lock': '[[package]]' })
    await refused(claim(at('poetry')), /poetry\.lock is not a lock file of this program/)
    await writeFile(at('empty.lock'), '')
    await refused(claim(at('empty')), /empty\.lock is not a lock/)
    expect(await contents(base)).toEqual({ 'out.txt': 'mine', dangling: '(link)', 'poetry.lock': '[[package]]', 'empty.lock': '' })
  })

  test('a folder that holds anything of somebody else, --overwrite or not', async () => {
    await folder(at('docs'), { 'thesis.docx': 'years', 'a/b.txt': 'b', c: 'c', d: 'd' })
    await folder(at('hollow'), {})
    await mkdir(at('hollow/empty'))
    for (const name of ['partial', 'journal', 'replaced']) await folder(at(`${name}-case.${name}`), { head: 'mine' })
    const before = await contents(base)
    for (const overwrite of [false, true]) {
      await refused(claim(at('docs'), { overwrite }), /did not write: .*thesis\.docx|did not write/, /and 1 more/)
      await refused(claim(at('hollow'), { overwrite }), /empty\//)
      for (const name of ['partial', 'journal', 'replaced']) {
        await refused(
          claim(at(`${name}-case`), { overwrite }),
          new RegExp(`${name}-case\\.${name} contains files that this program did not write: head`),
        )
      }
    }
    expect(await contents(base)).toEqual(before)
  })

  test('an earlier checkpoint without --overwrite, or with it once something in it is not as it was written', async () => {
    await save(at('out'), made)
    await refused(claim(at('out')), /contains an earlier checkpoint/)
    const changes: [(path: string) => Promise<unknown>, RegExp][] = [
      [(path) => writeFile(join(path, 'config.json'), '{"new":2}'), /changed since it was written: config\.json \(changed since\)/],
      [(path) => writeFile(join(path, 'README.md'), 'my model card'), /README\.md/],
      [(path) => writeFile(join(path, 'notes/mine.txt'), ''), /notes\/mine\.txt/],
      [(path) => mkdir(join(path, 'runs')), /runs\//],
      [(path) => rm(join(path, 'config.json')).then(() => symlink(at('precious'), join(path, 'config.json'))), /config\.json/],
      [(path) => rm(join(path, manifestName)), /config\.json/],
      [
        (path) =>
          writeFile(join(path, manifestName), '{"writtenBy":"QuantEase Workbench","holds":"checkpoint","files":{"../precious":null}}'),
        /config/,
      ],
    ]
    await writeFile(at('precious'), 'keep')
    for (const [i, [change, words]] of changes.entries()) {
      const path = at(`copy-${i}`)
      await cp(at('out'), path, { recursive: true })
      await change(path)
      const before = await contents(path)
      await refused(claim(path, { overwrite: true }), words)
      expect(await contents(path)).toEqual(before)
    }
    expect(await readFile(at('precious'), 'utf8')).toBe('keep')
  })
})

describe('a checkpoint', () => {
  test('is written beside its place and takes it whole; nothing else is left', async () => {
    const target = await claim(at('deep/er/out'))
    const sink = await written(target, made)
    expect((await readdir(at('deep/er'))).sort()).toEqual(['out.lock', 'out.partial'])
    await sink.commit()
    target.release()
    expect(await readdir(at('deep/er'))).toEqual(['out'])
    const { [manifestName]: manifest, ...files } = await contents(at('deep/er/out'))
    expect(files).toEqual(made)
    expect(Object.keys(JSON.parse(manifest).files)).toEqual(Object.keys(made).sort())
    // The same files give the same manifest.
    await mkdir(at('twin'))
    await save(at('twin'), Object.fromEntries(Object.entries(made).reverse()))
    expect(await contents(at('twin'))).toEqual(await contents(at('deep/er/out')))
  })

  test('that lost a file is said to have, and is replaced only when asked', async () => {
    await save(at('out'), made)
    await rm(at('out/model.safetensors'))
    await refused(claim(at('out')), /incomplete: model\.safetensors is missing/)
    const target = await claim(at('out'), { overwrite: true })
    expect(await target.whole()).toBe(false)
    await (await written(target, made)).commit()
    expect(await target.whole()).toBe(true)
    target.release()
  })

  test('replaces an earlier one of ours, by a link too, and only when it is whole', async () => {
    await save(at('real'), { ...made, 'old.json': 'old' })
    await symlink('real', at('out'))
    const target = await claim(at('out'), { overwrite: true })
    const sink = await written(target, made)
    expect((await contents(at('real')))['old.json']).toBe('old')
    await sink.commit()
    target.release()
    const { [manifestName]: _, ...files } = await contents(at('out'))
    expect(files).toEqual(made)
    expect((await readdir(base)).sort()).toEqual(['out', 'real'])
  })

  test('given up leaves what was there before', async () => {
    await save(at('out'), made)
    const before = await contents(base)
    const target = await claim(at('out'), { overwrite: true })
    await (await written(target, { a: 'half' })).remove()
    target.release()
    expect(await contents(base)).toEqual(before)
  })

  test('does not take a place that somebody filled while it was computed', async () => {
    const target = await claim(at('out'))
    const sink = await written(target, made)
    await folder(at('out'), { 'thesis.docx': 'new' })
    await refused(sink.commit(), /thesis\.docx/)
    await sink.remove()
    target.release()
    expect(await contents(base)).toEqual({ 'out/thesis.docx': 'new' })
  })

  test('cannot be led out of its folder by a name', async () => {
    const sink = await (await claim(at('out'))).sink()
    for (const name of ['../x', '/x', 'a/../../x', '..\\..\\x', 'C:x', 'a//x', '', './x'])
      await expect(sink.create(name, 1)).rejects.toThrow('leads out')
  })
})

describe('a program that was killed', () => {
  /** The folders as they lie at that moment, with the lock of a process that is gone. */
  async function killed(target: Target) {
    const lock = `${target.path}.lock`
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    await writeFile(lock, JSON.stringify({ ...JSON.parse(await readFile(lock, 'utf8')), pid, birth: null }))
  }

  test('while it wrote: the next one takes over, says so, and clears what it left', async () => {
    const first = await claim(at('out'))
    await written(first, { ...made, 'left.json': 'over' })
    await killed(first)
    const second = await claim(at('out'))
    expect(said).toEqual([expect.stringMatching(/^Took over from process \d+ on .+ since .+, which is no longer running\.$/)])
    await (await written(second, made)).commit()
    second.release()
    expect(Object.keys(await contents(at('out'))).sort()).toEqual([manifestName, ...Object.keys(made)].sort())
    expect(await readdir(base)).toEqual(['out'])
  })

  test('by a full disk before it could list what it writes: its own draft is no hindrance', async () => {
    await folder(at('out.partial'), { [`${manifestName}.new`]: '' })
    await save(at('out'), made)
    expect(await readdir(base)).toEqual(['out'])
    // But nothing of that name that is no file.
    await mkdir(at('other.partial', `${manifestName}.new`), { recursive: true })
    await refused(claim(at('other')), /did not write/)
  })

  test('between the two renames: the earlier checkpoint comes back', async () => {
    await save(at('out'), made)
    const before = await contents(base)
    await rename(at('out'), at('out.replaced'))
    await refused(claim(at('out')), /contains an earlier checkpoint/)
    expect(said).toEqual([expect.stringContaining('Restored')])
    expect(await contents(base)).toEqual(before)
  })

  test('before the replaced one was removed: it is removed then', async () => {
    await save(at('out'), made)
    await cp(at('out'), at('out.replaced'), { recursive: true })
    ;(await claim(at('out'), { overwrite: true })).release()
    expect(await readdir(base)).toEqual(['out'])
  })

  test('after the checkpoint took its place: its own job may write it again, and no other', async () => {
    const first = await claim(at('out'))
    const head = await first.journal.edit('head')
    await head.close()
    await (await written(first, made)).commit()
    await killed(first)
    const again = await claim(at('out'))
    await (await written(again, made)).commit()
    await again.journal.remove('head')
    again.release()
    await refused(claim(at('out')), /contains an earlier checkpoint/)
    expect(await readdir(base)).toEqual(['out'])
  })
})

test('a journal keeps its files in a folder of its own, which goes with the last of them', async () => {
  const target = await claim(at('out'))
  const { journal } = target
  const file = await journal.edit('head')
  await file.write(new Uint8Array([1, 2]), 0)
  await file.flush()
  await file.close()
  expect(await journal.list()).toEqual(['head'])
  expect(await readManifest(at('out.journal'))).toMatchObject({ holds: 'journal' })
  target.release()
  const later = await claim(at('out'))
  expect((await later.journal.edit('head')).size).toBe(2)
  await later.journal.remove('head')
  later.release()
  expect(await readdir(base)).toEqual([])
})

test('hard links to files of the model are left alone', async () => {
  await folder(at('m'), model)
  await save(at('out'), made)
  await link(at('m/model.safetensors'), at('out/linked.safetensors'))
  await refused(claim(at('out'), { overwrite: true, model: at('m') }), /linked\.safetensors/)
})

test.each([
  ['C:\\Models\\m', 'c:\\models\\M', 'same'],
  ['C:\\Models\\m\\out', 'c:/models/M/', 'inside'],
  ['C:\\Models', 'c:\\models\\M', 'around'],
  ['C:\\', 'c:\\models\\M', 'around'],
  ['C:\\Models\\m2', 'C:\\Models\\m', null],
  ['D:\\Models\\m', 'C:\\Models\\m', null],
  ['\\\\server\\share\\m\\out', '\\\\SERVER\\share\\m', 'inside'],
  ['C:\\Models\\m\\..\\n', 'C:\\Models\\m', null],
])('on Windows %s lies to %s: %s', (a, b, how) => {
  expect(relation(a, b, { path: nodePath.win32, ignoreCase: true })).toBe(how)
})

test.each([
  ['/m', '/m/', 'same'],
  ['/M', '/m', null],
  ['/m/..out', '/m', 'inside'],
  ['/', '/m', 'around'],
  ['/m2', '/m', null],
])('elsewhere %s lies to %s: %s', (a, b, how) => {
  expect(relation(a, b, { path: nodePath.posix, ignoreCase: false })).toBe(how)
})
