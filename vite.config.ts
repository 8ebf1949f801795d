import { existsSync } from 'node:fs'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'
import { findChromium, softwareVulkan } from './src/setup.mjs'

export default defineConfig(async ({ isSsrBuild }) => {
  // Tests run Dawn on SwiftShader, whatever GPU there is, so that they measure the same thing everywhere.
  const software = process.env.VITEST ? softwareVulkan(await findChromium()) : {}
  const onGpu = {
    pool: 'forks' as const,
    fileParallelism: false,
    setupFiles: 'src/gpu/testing.ts',
    env: software,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  }

  return {
    plugins: [react()],
    base: './',
    worker: { format: 'es' as const },
    // Found at the start, so that the first visit to the development server is not reloaded for the worker's packages.
    optimizeDeps: { entries: ['index.html', 'src/engine/worker.ts'] },
    build: { target: 'es2023', chunkSizeWarningLimit: 2000, copyPublicDir: !isSsrBuild },
    test: {
      reporters: ['default', './e2e/reporter.ts'],
      projects: [
        {
          extends: true as const,
          test: {
            name: 'unit',
            include: ['src/**/*.test.{ts,tsx}'],
            exclude: ['**/*.gpu.test.ts', '**/*.shared.test.ts'],
            sequence: { groupOrder: 0 },
          },
        },
        { extends: true as const, test: { ...onGpu, name: 'gpu', include: ['src/**/*.gpu.test.ts'], sequence: { groupOrder: 1 } } },
        {
          extends: true as const,
          test: {
            name: 'e2e',
            include: ['e2e/**/*.e2e.ts'],
            globalSetup: 'e2e/serve.ts',
            fileParallelism: false,
            testTimeout: 180_000,
            hookTimeout: 60_000,
            sequence: { groupOrder: 2 },
          },
        },
        // The second suite reads real models beside the checkout.
        ...(existsSync('../shared')
          ? [
              {
                extends: true as const,
                test: {
                  ...onGpu,
                  name: 'shared',
                  include: ['{src,e2e}/**/*.shared.test.ts'],
                  testTimeout: 600_000,
                  sequence: { groupOrder: 3 },
                },
              },
            ]
          : []),
      ],
    },
  }
})
