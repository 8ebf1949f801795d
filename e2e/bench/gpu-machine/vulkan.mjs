/** Finds a GPU for Dawn in Node: the adapter that is offered as things are, else with a loader and a driver from where they often lie. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const drivers = [
  '/usr/share/vulkan/icd.d',
  '/etc/vulkan/icd.d',
  '/usr/local/share/vulkan/icd.d',
  '/usr/local/nvidia/share/vulkan/icd.d',
  '/run/opengl-driver/share/vulkan/icd.d',
]
const machines = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }

/** What the adapter says of itself under this environment; null without one. Asked in another process, as loaders are read once. */
export function adapterOf(root, env) {
  const ask = `
    import('webgpu').then(async ({ create, globals }) => {
      Object.assign(globalThis, globals)
      const gpu = create([])
      const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
      if (!adapter) process.exit(1)
      const { vendor, architecture, device, description } = adapter.info
      const features = [...adapter.features]
      const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits
      const f16 = features.includes('shader-f16')
      console.log(JSON.stringify({ vendor, architecture, device, description, f16, features, maxBufferSize, maxStorageBufferBindingSize }))
      process.exit(0)
    })`
  const { status, stdout } = spawnSync(process.execPath, ['-e', ask], { cwd: root, env: { ...process.env, ...env }, encoding: 'utf8' })
  return status === 0 ? JSON.parse(stdout.trim().split('\n').at(-1)) : null
}

const isSoftware = ({ architecture, device, description }) =>
  /swiftshader|llvmpipe|lavapipe/i.test(`${architecture} ${device} ${description}`)

/** Environment and adapter; without one, what was tried. */
export function findVulkan(root) {
  const tried = []
  for (const env of candidates(root)) {
    const words = Object.entries(env).map(([name, value]) => `${name}=${value}`)
    const adapter = adapterOf(root, env)
    if (adapter && !isSoftware(adapter)) return { env, adapter, tried }
    tried.push(`${words.join(' ') || 'as things are'} (${adapter ? `only ${adapter.description || adapter.architecture}` : 'none'})`)
  }
  return { env: {}, adapter: null, tried }
}

function candidates(root) {
  const machine = machines[process.arch] ?? ''
  const own = [join(root, '.vulkan'), join(root, '.vulkan/usr/lib', machine)]
  const loaders = [null, ...own, join('/usr/lib', machine), '/usr/local/nvidia/lib64'].filter(
    (folder) => folder === null || existsSync(join(folder, 'libvulkan.so.1')),
  )
  const icds = drivers
    .filter(existsSync)
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .filter((path) => path.endsWith('.json') && !/lvp|swiftshader/.test(path))
  return loaders.flatMap((loader) =>
    [null, ...icds].map((icd) => ({
      ...(loader && { LD_LIBRARY_PATH: [loader, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':') }),
      ...(icd && { VK_DRIVER_FILES: icd, VK_ICD_FILENAMES: icd }),
    })),
  )
}
