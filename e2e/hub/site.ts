/** Builds and serves the page for a local Hub. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'vite'
import { serveSite } from '../serve.ts'
import type { HubServer } from './server.ts'

export async function serveSiteOf({ url, storageUrl }: Pick<HubServer, 'url' | 'storageUrl'>) {
  const outDir = await mkdtemp(join(tmpdir(), 'workbench-site-'))
  const { NODE_ENV: _, VITEST: __, ...env } = process.env
  await promisify(execFile)('npx', ['vite', 'build', '--outDir', outDir, '--logLevel', 'error'], {
    env: { ...env, VITE_HUB_URL: url, VITE_HUB_STORAGE: storageUrl },
  })
  const site = await serveSite(outDir)
  return {
    url: site.url,
    async close() {
      await site.close()
      await rm(outDir, { recursive: true })
    },
  }
}

/**
 * A page with nothing on it but the engine, as `engine`. `clientId`: what the Hub gave the page when it was registered.
 */
export async function serveEngineOf({ url, storageUrl }: Pick<HubServer, 'url' | 'storageUrl'>, clientId: string) {
  const outDir = await mkdtemp(join(tmpdir(), 'workbench-site-'))
  Object.assign(process.env, { VITE_HUB_URL: url, VITE_HUB_STORAGE: storageUrl, VITE_HUB_CLIENT_ID: clientId })
  await build({ logLevel: 'error', build: { outDir, emptyOutDir: true, rollupOptions: { input: 'e2e/hub/index.html' } } })
  for (const name of ['VITE_HUB_URL', 'VITE_HUB_STORAGE', 'VITE_HUB_CLIENT_ID']) delete process.env[name]
  const site = await serveSite(outDir)
  return {
    url: `${site.url}e2e/hub/index.html`,
    async close() {
      await site.close()
      await rm(outDir, { recursive: true })
    },
  }
}
