#!/usr/bin/env node
// The sources are TypeScript; tsx compiles them while loading, so a clone needs no build step and is never stale.
import { register } from 'tsx/esm/api'

register()
await import('../functions/cli.ts')
