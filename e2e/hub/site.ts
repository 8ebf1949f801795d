/** The page built for a Hub on this machine, as a mirror's owner would build it, and served. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
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
