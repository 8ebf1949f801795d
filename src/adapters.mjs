/**
 * Other adapters to test on, from Debian or Ubuntu: lavapipe, Mesa's Vulkan on the processor, and a Firefox with WebGPU.
 * Packages are unpacked into a folder of their own, so that nothing is installed on the machine and no other program finds
 * another GPU than before; neither root nor a clean package state is needed. Plain Node without packages, like setup.mjs.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), 'node_modules/.adapters')

/** A library or program below the unpacked root, or on the machine itself. */
const found = (paths) => [join(folder, 'root'), ''].flatMap((root) => paths.map((path) => join(root || '/', path))).find(existsSync)

/**
 * Environment that gives Dawn in Node, or Firefox, lavapipe as its Vulkan; null where it is not at hand.
 * @returns {Record<string, string> | null}
 */
export function lavapipe() {
  const machines = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
  const driver = found(machines.map((machine) => `usr/lib/${machine}/libvulkan_lvp.so`))
  const loader = found(machines.map((machine) => `usr/lib/${machine}/libvulkan.so.1`))
  if (!driver || !loader) return null
  // The package's own description names the driver where it would have been installed.
  const description = join(folder, 'lavapipe.json')
  mkdirSync(folder, { recursive: true })
  writeFileSync(description, JSON.stringify({ file_format_version: '1.0.0', ICD: { library_path: driver, api_version: '1.1.0' } }))
  const libraries = [...new Set([dirname(loader), dirname(driver), process.env.LD_LIBRARY_PATH])].filter(Boolean)
  return { LD_LIBRARY_PATH: libraries.join(':'), VK_DRIVER_FILES: description, VK_ICD_FILENAMES: description }
}

/**
 * The same for tests, which compile more than they compute: its compiler takes half the time for vectors of 128 bits, whose subgroups
 * are of 4 invocations instead of 8.
 * @returns {Record<string, string> | null}
 */
export function quickLavapipe() {
  const environment = lavapipe()
  return environment && { LP_NATIVE_VECTOR_WIDTH: process.env.LP_NATIVE_VECTOR_WIDTH ?? '128', ...environment }
}

/** Path of a Firefox, or null. */
export function firefox() {
  return process.env.FIREFOX ?? found(['usr/lib/firefox-esr/firefox-esr', 'usr/lib/firefox/firefox', 'usr/bin/firefox']) ?? null
}

/**
 * Unpacks lavapipe and Firefox unless they are here.
 * @returns {string | null} why that cannot be done, one sentence
 */
export function unpackAdapters() {
  if (lavapipe() && firefox()) return null
  if (process.platform !== 'linux') return `Debian packages serve Linux only, and this is ${process.platform}.`
  const state = Object.fromEntries(['lists', 'archives', 'sources'].map((name) => [name, join(folder, name)]))
  for (const path of [state.lists, state.archives]) mkdirSync(join(path, 'partial'), { recursive: true })
  const suite = addBackports(state.sources)
  const options = [
    `Dir::State::lists=${state.lists}`,
    `Dir::Cache::archives=${state.archives}`,
    `Dir::Etc::sourceparts=${state.sources}`,
    'Debug::NoLocking=1',
    'APT::Sandbox::User=',
  ].flatMap((option) => ['-o', option])
  const apt = (...args) => spawnSync('apt-get', [...options, '-qq', ...args], { encoding: 'utf8', timeout: 300_000 })
  const update = apt('update')
  if (update.error) return `apt-get cannot be run here: ${update.error.message}.`
  const fetch = ['--no-install-recommends', '--download-only', '-y', 'install', 'libvulkan1']
  // Not everywhere are there backports; and Ubuntu's package of a Firefox only asks for a snap.
  const wishes = [['-t', suite, 'mesa-vulkan-drivers', 'firefox-esr'], ['mesa-vulkan-drivers', 'firefox-esr'], ['mesa-vulkan-drivers']]
  let answer = update
  for (const wish of suite ? wishes : wishes.slice(1)) {
    answer = apt(...fetch, ...wish)
    if (answer.status === 0) return unpack(state.archives)
  }
  return `apt-get could not fetch the packages: ${lastLine(answer.stderr || update.stderr)}`
}

/**
 * The machine's package sources, and Debian's backports, in a folder: the lavapipe of Debian 12 is too old for Dawn.
 * Returns their suite, or null where there are none.
 */
function addBackports(sources) {
  rmSync(sources, { recursive: true, force: true })
  mkdirSync(sources, { recursive: true })
  const given = '/etc/apt/sources.list.d'
  if (existsSync(given)) cpSync(given, sources, { recursive: true })
  const texts = [...readdirSync(sources).map((name) => join(sources, name)), '/etc/apt/sources.list'].filter(existsSync)
  const text = texts.map((path) => readFileSync(path, 'utf8')).join('\n')
  const codename = existsSync('/etc/os-release') && readFileSync('/etc/os-release', 'utf8').match(/^VERSION_CODENAME=(\w+)$/m)?.[1]
  const archive = text.match(/https?:\/\/\S+\/debian\/?(?=\s)/)?.[0]
  const keys = '/usr/share/keyrings/debian-archive-keyring.gpg'
  if (!codename || !archive || !existsSync(keys)) return null
  writeFileSync(join(sources, 'backports.list'), `deb [signed-by=${keys}] ${archive} ${codename}-backports main\n`)
  return `${codename}-backports`
}

function unpack(archives) {
  const packages = readdirSync(archives).filter((name) => name.endsWith('.deb'))
  const fresh = join(folder, 'root.partial')
  rmSync(fresh, { recursive: true, force: true })
  for (const name of packages) {
    const { status, error, stderr } = spawnSync('dpkg-deb', ['-x', join(archives, name), fresh], { encoding: 'utf8' })
    if (status !== 0) return `${name} could not be unpacked: ${error?.message ?? lastLine(stderr)}`
  }
  rmSync(join(folder, 'root'), { recursive: true, force: true })
  if (packages.length) renameSync(fresh, join(folder, 'root'))
  rmSync(archives, { recursive: true, force: true })
  return lavapipe() ? null : 'The packages hold no lavapipe.'
}

const lastLine = (text) => text.trim().split('\n').at(-1) || 'no reason was given.'
