/** Serves a built page with the recorded engine in place of its worker, so that views can be tried at any size, in any state. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { build, type Rollup } from 'vite'
import type { Catalog } from '../../src/engine/job/catalog.ts'
import { Session } from '../../src/engine/session.ts'
import { gpu, type Recording } from './recording.ts'

export interface Played {
  recording: Recording
  catalog: Catalog
  gpu: typeof gpu
}

const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json' }

async function bundle(): Promise<string> {
  const made = (await build({
    configFile: false,
    logLevel: 'warn',
    build: { write: false, minify: false, lib: { entry: 'e2e/views/engine.ts', formats: ['es'] } },
  })) as Rollup.RollupOutput[]
  return made[0].output[0].code
}

/** `folder`: of the built page. */
export async function recordedSite(recording: Recording, folder = 'dist') {
  const engine = await bundle()
  const played: Played = { recording, catalog: new Session(undefined).catalog, gpu }
  const answers: Record<string, string> = { '/recording.json': JSON.stringify(played) }
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url!, 'http://x')
    const path = pathname === '/' ? '/index.html' : pathname
    const made = /^\/assets\/worker-.*\.js$/.test(path) ? engine : answers[path]
    const body = made ?? (await readFile(join(folder, path)).catch(() => null))
    response.writeHead(body === null ? 404 : 200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' })
    response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
