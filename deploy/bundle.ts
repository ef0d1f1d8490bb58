import { readFileSync } from 'node:fs'
import { basename, posix, relative, resolve } from 'node:path'
import { build, type Plugin, transform } from 'esbuild'
import { Failure } from '../shared/base/failure.ts'
import { ownMap } from './own-map.ts'
import { type PackedFile, zipOf } from './zip.ts'

/** One function's package: what is uploaded, byte for byte the same for the same sources. */
export interface Package {
  files: PackedFile[]
  zip: Uint8Array
}

/** Node.js20.15 is the newest runtime of FunctionGraph; its samples and its loader are CommonJS. */
const TARGET = 'node20.15'

/** The reader's place in a package, without its extension. */
const READER = 'lib/reader'

/**
 * Bundles one handler file to CommonJS: `index.js` with what every invocation needs, and chunks beside it with what
 * is imported dynamically, which a cold start then does not read. Two steps, because esbuild splits only ES modules:
 * first the split bundle, then each of its files to CommonJS.
 */
export async function bundleFunction(root: string, entry: string): Promise<Package> {
  const outdir = resolve(root, 'out')
  const bundled = await build({
    absWorkingDir: root,
    // Beside the handler, the thread in which uploads are read: shared/reader/thread.ts starts it.
    entryPoints: { index: entry, [READER]: 'shared/reader/worker.ts' },
    bundle: true,
    splitting: true,
    write: false,
    outdir,
    platform: 'node',
    format: 'esm',
    target: TARGET,
    // The ES modules of the AWS SDK can be shaken; its CommonJS files can not.
    mainFields: ['module', 'main'],
    chunkNames: 'lib/[name]-[hash]',
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: 'external',
    sourcesContent: false,
    legalComments: 'none',
    logLevel: 'silent',
    // A linked node_modules must not bring the paths of another folder into names and order.
    preserveSymlinks: true,
    plugins: [oneLanguage, ownCredentials, latePackages(root), nothingLocal(root)],
  }).catch((cause: { errors?: { text: string; location?: { file: string; line: number } | null }[] }) => {
    const [first] = cause.errors ?? []
    const where = first?.location ? ` (${first.location.file}:${first.location.line})` : ''
    throw new Failure({
      code: 'package.bundle',
      kind: 'never',
      message: `${entry} cannot be bundled: ${first?.text ?? String(cause)}${where}`,
      next: 'Correct the source, or run npm ci where a package is missing.',
      cause,
    })
  })
  const text = new Map(
    bundled.outputFiles.map((file) => [
      relative(outdir, file.path).replaceAll('\\', '/'),
      Buffer.from(file.contents).toString(),
    ]),
  )
  const files: PackedFile[] = []
  for (const [name, code] of text) {
    if (!name.endsWith('.js')) continue
    const converted = await transform(withMap(code, relocated(text.get(`${name}.map`)!)), {
      format: 'cjs',
      platform: 'node',
      target: TARGET,
      // Written as a require that happens late: Node's own import() would go through its slower module loader.
      supported: { 'dynamic-import': false },
      define: { PACKED_READER: JSON.stringify(posix.relative(posix.dirname(name), `${READER}.js`)) },
      minify: true,
      keepNames: false,
      sourcemap: 'external',
      sourcefile: name,
      sourcesContent: false,
      legalComments: 'none',
    })
    const map = ownMap(converted.map, (source) => /^(shared|functions)\//.test(source))
    const link = map ? `//# sourceMappingURL=${posix.basename(name)}.map\n` : ''
    files.push({ name, bytes: Buffer.from(converted.code + link) })
    if (map) files.push({ name: `${name}.map`, bytes: Buffer.from(map) })
  }
  // Whatever folder the platform unpacks into, the files are CommonJS.
  files.push({ name: 'package.json', bytes: Buffer.from(`${JSON.stringify({ type: 'commonjs' })}\n`) })
  files.sort((a, b) => (a.name < b.name ? -1 : 1))
  return { files, zip: zipOf(files) }
}

/** The first map's sources are relative to the output folder; in the package they are paths of the repository. */
function relocated(map: string): string {
  const parsed = JSON.parse(map) as { sources: string[] }
  parsed.sources = parsed.sources.map((source) => source.replace(/^(\.\.\/)+/, ''))
  return JSON.stringify(parsed)
}

function withMap(code: string, map: string): string {
  return `${code}\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(map).toString('base64')}\n`
}

/** zod carries its texts in fifty languages, and the config's problems are worded by the loader anyway. */
const oneLanguage: Plugin = {
  name: 'one-language',
  setup({ onLoad }) {
    onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js"',
    }))
  },
}

/** The store hands the SDK its credentials; the ways in which it would look for some itself are never taken. */
const ownCredentials: Plugin = {
  name: 'own-credentials',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@aws-sdk\/credential-provider-node$/ }, ({ path }) => ({
      path,
      namespace: 'own-credentials',
    }))
    onLoad({ filter: /./, namespace: 'own-credentials' }, () => ({
      contents: `export const defaultProvider = () => async () => {
        throw new Error('no credentials were given')
      }`,
    }))
  },
}

/**
 * `await import('package')` of a CommonJS package: a split bundle would export nothing but `default`, where Node gives
 * the names too. So the names that Node finds are written out.
 */
function latePackages(root: string): Plugin {
  return {
    name: 'late-packages',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^[@a-z]/ }, ({ path, kind, importer }) =>
        kind === 'dynamic-import' && !path.startsWith('node:') && !importer.includes('node_modules')
          ? { path, namespace: 'late' }
          : undefined,
      )
      onLoad({ filter: /./, namespace: 'late' }, async ({ path }) => {
        const found = Object.keys((await import(path)) as object)
        const names = found.filter((name) => /^[A-Za-z_$][\w$]*$/.test(name))
        return { contents: `export { ${names.join(', ')} } from ${JSON.stringify(path)}`, resolveDir: root }
      })
    },
  }
}

/** Emulator, tests, terminal commands and deployment never get into a package, whatever imports them by mistake. */
function nothingLocal(root: string): Plugin {
  const local = /^(emulator|test|bench|deploy|functions\/commands)\//
  return {
    name: 'nothing-local',
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const own = relative(root, path).replaceAll('\\', '/')
        if (local.test(own) || basename(path) === 'local.ts') {
          return { errors: [{ text: `${own} is not part of a function` }] }
        }
        return { contents: readFileSync(path, 'utf8'), loader: 'ts' }
      })
    },
  }
}
