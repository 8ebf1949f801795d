/** Everything that gpu-machine.mjs needs on another Linux machine of the same processor, in one archive. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

/** What the tests import; the rest follows from these. Built programs need Dawn alone. */
const tested = ['vitest', 'vite', '@vitejs/plugin-react', 'fast-check', 'hyparquet-writer']
/** Large, and needed by no GPU test. */
const left = /^(onnxruntime-|@wllama\/|@node-llama-cpp\/|react|radix-ui|@radix-ui\/|typescript|@typescript\/|playwright)/
/** Tracked files that no part reads. */
const unread = /\.(png|svg|jpe?g)$|^(e2e\/(views|dry-runs|oracle|interop|peers)|findings)\//

/** Tracked files that programs are run with. */
const run = /^(package\.json|public\/demo\/|src\/(setup|adapters)\.mjs|e2e\/bench\/)/

/** Writes the archive; `bundles`: programs that were built; `tests`: with what the tests need. */
export function pack(root, file, bundles, tests) {
  const folder = mkdtempSync(join(tmpdir(), 'gpu-machine-pack-'))
  const to = join(folder, 'quantease-workbench')
  try {
    const take = (path) => {
      mkdirSync(dirname(join(to, path)), { recursive: true })
      cpSync(join(root, path), join(to, path), { recursive: true, dereference: true, preserveTimestamps: true, filter: wanted })
    }
    const listed = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 })
    if (listed.status !== 0) throw new Error('An archive is packed from a checkout of git.')
    for (const path of listed.stdout.split('\0').filter((path) => path && (tests ? !unread.test(path) : run.test(path))))
      if (existsSync(join(root, path))) take(path)
    for (const bundle of bundles) take(dirname(bundle))
    for (const name of tests ? packagesOf(root) : ['webgpu']) take(join('node_modules', name))
    copyFileSync(process.execPath, join(to, 'node'))
    for (const loader of loaders(root)) {
      mkdirSync(join(to, '.vulkan'), { recursive: true })
      copyFileSync(loader, join(to, '.vulkan/libvulkan.so.1'))
    }
    const { status } = spawnSync('tar', ['-cJf', resolve(file), '-C', folder, 'quantease-workbench'], { stdio: 'inherit' })
    if (status !== 0) throw new Error('tar could not write the archive.')
    console.error(`${file}: ${(statSync(file).size / 2 ** 20).toFixed(1)} MiB`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Dawn comes for every system. */
const wanted = (path) => !/node_modules\/webgpu\/dist\/./.test(path) || path.includes(`${process.platform}-${process.arch}`)

/** A Vulkan loader that is here, for a machine that has none. */
const loaders = (root) =>
  ['node_modules/.adapters/root/usr/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu']
    .map((folder) => resolve(root, folder, 'libvulkan.so.1'))
    .filter(existsSync)
    .slice(0, 1)

/** Packages that the program and its tests need, with all that these need, by their names. */
function packagesOf(root) {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const found = new Set()
  const open = [...tested, ...Object.keys(dependencies)]
  while (open.length) {
    const name = open.pop()
    const at = join(root, 'node_modules', name, 'package.json')
    if (found.has(name) || left.test(name) || !existsSync(at)) continue
    found.add(name)
    const { dependencies: needs = {}, optionalDependencies: may = {}, peerDependencies: peers = {} } = JSON.parse(readFileSync(at, 'utf8'))
    open.push(...Object.keys({ ...needs, ...may, ...peers }))
  }
  return [...found]
}
