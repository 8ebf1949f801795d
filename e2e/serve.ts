import { preview } from 'vite'
import type { TestProject } from 'vitest/node'

/** Serves the built site under a sub-path, as a static host would: no rewriting, no other base than the files' own. */
export async function serveSite(outDir = 'dist') {
  const base = '/workbench/'
  const server = await preview({ configFile: false, appType: 'mpa', base, build: { outDir }, logLevel: 'warn', preview: { port: 4300 } })
  return { url: server.resolvedUrls!.local[0], close: () => server.close() }
}

export default async function (project: TestProject) {
  const { url, close } = await serveSite()
  project.provide('url', url)
  return close
}

declare module 'vitest' {
  interface ProvidedContext {
    url: string
  }
}
