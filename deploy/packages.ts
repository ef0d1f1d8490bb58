import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { unzipSync } from 'fflate'
import { Failure } from '../shared/base/failure.ts'
import type { Artifact } from './deployment.ts'
import type { DesiredService } from './desired.ts'
import { home } from './service-file.ts'
import { type PackedFile, zipOf } from './zip.ts'

/** Where `npm pack` puts the functions' packages, made from the same sources. */
const READY_MADE = new URL('dist/packages/', home)

/**
 * The functions' packages: of a clone bundled from its sources, which are never stale; in an installed package they are
 * ready-made, and no bundler is needed. `files` are added to each: what the config names beside itself.
 */
export async function packagesFor(
  service: DesiredService,
  files: readonly PackedFile[] = [],
): Promise<Map<string, Artifact>> {
  const inClone = import.meta.url.endsWith('.ts')
  const artifacts = new Map<string, Artifact>()
  for (const { key, source } of service.functions) {
    const made = inClone ? await bundled(source) : await readyMade(key)
    const all = Object.entries(unzipSync(made)).map(([name, bytes]) => ({ name, bytes }))
    artifacts.set(key, artifactOf(files.length === 0 ? made : zipOf([...all, ...files])))
  }
  return artifacts
}

export function artifactOf(zip: Uint8Array): Artifact {
  return { zip, hash: createHash('sha256').update(zip).digest('hex').slice(0, 16) }
}

/** The same sources give the same bytes. */
const bundles = new Map<string, Promise<Uint8Array>>()

function bundled(source: string): Promise<Uint8Array> {
  const made =
    bundles.get(source) ??
    import('./bundle.ts').then(async ({ bundleFunction }) => {
      const { zip } = await bundleFunction(fileURLToPath(home), source)
      return zip
    })
  bundles.set(source, made)
  return made
}

async function readyMade(key: string): Promise<Uint8Array> {
  const file = new URL(`${key}.zip`, READY_MADE)
  return readFile(file).catch((cause) => {
    throw noPackage(key, fileURLToPath(file), cause)
  })
}

export function noPackage(key: string, file: string, cause?: unknown): Failure {
  return new Failure({
    code: 'deploy.no-package',
    kind: 'never',
    message: `There is no package of function ${key} at ${file}`,
    next: 'In a clone run npm ci and npm run package; an installed package that lacks it must be installed again.',
    cause,
  })
}
