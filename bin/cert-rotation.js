#!/usr/bin/env node
// The package holds compiled JavaScript. A clone runs its TypeScript sources, so it is never stale and needs no build;
// the loader is a dev dependency, and its cache in the temporary folder stays off: whoever owns that folder could
// otherwise put code of theirs into our process.
import { existsSync } from 'node:fs'

const sources = new URL('../functions/cli.ts', import.meta.url)
if (existsSync(sources)) {
  process.env.TSX_DISABLE_CACHE = '1'
  const { register } = await import('tsx/esm/api')
  register()
  await import(sources.href)
} else await import('../dist/functions/cli.js')
