import { mkdirSync, writeFileSync } from 'node:fs'
import { policyFiles } from './policies.ts'

// `npm run policies`: policies/*.json from the one list in policies.ts.
mkdirSync(new URL('../policies', import.meta.url), { recursive: true })
for (const [name, text] of Object.entries(policyFiles()))
  writeFileSync(new URL(`../policies/${name}`, import.meta.url), text)
