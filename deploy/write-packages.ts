import { mkdirSync, writeFileSync } from 'node:fs'
import { readService } from './desired.ts'
import { packagesFor } from './packages.ts'
import { home, readServiceFile } from './service-file.ts'

// `npm run build`: dist/packages/*.zip, so that an installed package deploys without a bundler.
const packages = await packagesFor(readService(readServiceFile('build', {})))
mkdirSync(new URL('dist/packages', home), { recursive: true })
for (const [key, { zip }] of packages) writeFileSync(new URL(`dist/packages/${key}.zip`, home), zip)
