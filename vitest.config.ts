import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Vitest keeps a processor for itself, which on the two of a CI machine is half of the time.
    maxWorkers: '100%',
  },
})
