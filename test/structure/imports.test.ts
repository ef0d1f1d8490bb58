import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

/** What every part of a rotation may use: contracts, and what is pure. */
const SPINE = [
  'shared/base',
  'shared/certificate',
  'shared/config/schema',
  'shared/store/port',
  'shared/store/certain',
  'shared/gateway/port',
  'shared/manager/port',
  'shared/probe/port',
  'shared/reader/port',
]
/** Whom a rotation talks to, and how long: every room of it may know that. */
const PARTIES = ['parties', 'parallel', 'progress', 'out-of-time'].map((name) => `shared/rotation/${name}`)

/**
 * Who may import whom, by folder. `x/port` is a contract; a bare `x` is everything in that folder. A folder may
 * always import itself.
 */
const ALLOWED: Record<string, string[]> = {
  'shared/base': [],
  'shared/certificate': ['shared/base'],
  'shared/reader': ['shared/base', 'shared/certificate'],
  'shared/config': ['shared/base'],
  'shared/http': ['shared/base'],
  'shared/store': ['shared/base'],
  'shared/probe': ['shared/base'],
  'shared/gateway': ['shared/base', 'shared/http'],
  'shared/manager': ['shared/base', 'shared/http', 'shared/gateway/port'],
  'shared/dns': ['shared/base', 'shared/http', 'shared/store/port', 'shared/acme/port'],
  'shared/acme': [
    'shared/base',
    'shared/certificate',
    'shared/dns',
    'shared/store/port',
    'shared/config/schema',
  ],
  'shared/rotation': [...SPINE, 'shared/rotation'],
  // The rooms of the spine, from the ground up.
  'shared/rotation/record': [...SPINE, ...PARTIES],
  'shared/rotation/intake': [...SPINE, ...PARTIES, 'shared/rotation/record'],
  'shared/rotation/plan': [...SPINE, ...PARTIES, 'shared/rotation/record', 'shared/rotation/intake'],
  'shared/rotation/act': [
    ...SPINE,
    ...PARTIES,
    'shared/rotation/record',
    'shared/rotation/intake',
    'shared/rotation/plan',
  ],
  'shared/watch': [
    'shared/base',
    'shared/config/schema',
    'shared/probe/port',
    'shared/rotation/record/state',
    'shared/rotation/record/domain',
    'shared/rotation/record/difference-words',
    'shared/store/port',
  ],
  'shared/notify': ['shared/base', 'shared/http', 'shared/watch', 'shared/config/schema'],
  'shared/status': [
    'shared/health',
    'shared/base',
    'shared/watch',
    'shared/rotation/record/state',
    'shared/rotation/record/domain',
    'shared/config/schema',
    'shared/probe/port',
    'shared/notify',
  ],
  'shared/health': [
    'shared/base',
    'shared/config/schema',
    'shared/http/clock-ahead',
    'shared/store/port',
    'shared/gateway/port',
    'shared/manager/port',
    'shared/dns/port',
    'shared/acme/port',
    'shared/rotation/record/state',
    'shared/rotation/record/domain',
    'shared/watch',
    'shared/notify/outbox',
  ],
  'shared/runtime': [
    'shared/base',
    'shared/config',
    'shared/health',
    'shared/rotation',
    'shared/http/auth',
    'shared/http/sign',
    'shared/wire/cloud',
    'shared/wire/health',
    'shared/wire/renewal',
    'shared/store/port',
    'shared/gateway/port',
    'shared/watch',
    'shared/status',
    'shared/notify',
    'shared/acme',
  ],
  'shared/wire': ['shared'],
  functions: ['shared', 'emulator', 'deploy'],
  // Tools of a clone, such as the demo, may start the emulator.
  deploy: ['shared', 'emulator'],
  emulator: ['shared/base', 'shared/certificate'],
}

/** Packages by folder; everything else of npm is forbidden below shared/. */
const PACKAGES: Record<string, string[]> = {
  'shared/certificate': ['fflate', 'node-forge', 'tldts-icann'],
  'shared/config': ['zod', 'yaml'],
  'shared/http': ['undici'],
  'shared/store': ['@aws-sdk/client-s3'],
  'shared/acme': ['undici'],
  'shared/notify': ['nodemailer', 'undici'],
  'shared/runtime': ['@middy/core', 'pino'],
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

interface Import {
  from: string
  to: string
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name))
}

function importsOf(file: string, text: string): Import[] {
  const forms = [
    /^(?:import|export)\s[^'`;]*?\bfrom\s+'([^'\n]+)'/gm,
    /^import\s+'([^'\n]+)'/gm,
    /\bimport\(\s*'([^'\n]+)'\s*\)/g,
  ]
  const found = forms.flatMap((form) => [...text.matchAll(form)].map((match) => match[1]!))
  return found.map((specifier) => ({
    from: file,
    to: specifier.startsWith('.') ? relative(root, resolve(root, dirname(file), specifier)) : specifier,
  }))
}

function folderOf(file: string): string {
  const [top, second, third] = file.split('/')
  const room = `${top}/${second}/${third}`
  if (room in ALLOWED) return room
  return top === 'shared' ? `${top}/${second}` : top!
}

function isWithin(path: string, place: string): boolean {
  return path === place || path === `${place}.ts` || path.startsWith(`${place}/`)
}

/** Undefined where the import is allowed. */
function violation({ from, to }: Import): string | undefined {
  const folder = folderOf(from)
  const inside = ['shared', 'functions', 'deploy', 'emulator', 'test', 'bench'].some((top) =>
    isWithin(to, top),
  )
  if (inside) {
    const allowed = [folder, ...(ALLOWED[folder] ?? [])]
    return allowed.some((place) => isWithin(to, place)) ? undefined : `${from} must not import ${to}`
  }
  if (to.startsWith('node:') || !folder.startsWith('shared/')) return undefined
  const packages = PACKAGES[folder] ?? []
  return packages.some((name) => isWithin(to, name)) ? undefined : `${from} must not import the package ${to}`
}

describe('the import rules', () => {
  const files = ['shared', 'functions', 'deploy', 'emulator'].flatMap(sources)

  it('hold for every file', () => {
    const imports = files.flatMap((file) => importsOf(file, readFileSync(join(root, file), 'utf8')))
    expect(imports.length).toBeGreaterThan(100)
    expect(imports.flatMap((one) => violation(one) ?? [])).toEqual([])
  })

  it('know every folder', () => {
    const unknown = [...new Set(files.map(folderOf))].filter((folder) => !(folder in ALLOWED))
    expect(unknown).toEqual([])
  })

  it('catch a spine that reaches for an adapter, an adapter that reaches for the spine, and a stray package', () => {
    const caught = (file: string, text: string) =>
      importsOf(file, text).flatMap((one) => violation(one) ?? [])
    expect(caught('shared/rotation/x.ts', `import { createGateway } from '../gateway/http.ts'`)).toHaveLength(
      1,
    )
    expect(caught('shared/rotation/x.ts', `import type { Gateway } from '../gateway/port.ts'`)).toEqual([])
    expect(caught('shared/gateway/x.ts', `import { rotate } from '../rotation/rotate.ts'`)).toHaveLength(1)
    expect(caught('shared/base/x.ts', `export { z } from 'zod'`)).toHaveLength(1)
    expect(caught('shared/store/x.ts', `const sdk = await import('@aws-sdk/client-s3')`)).toEqual([])
    expect(caught('emulator/x.ts', `import { sign } from '../shared/http/sign.ts'`)).toHaveLength(1)
    expect(caught('shared/runtime/x.ts', `await import('../../emulator/main.ts')`)).toHaveLength(1)
  })

  it('leave the environment to the doors', () => {
    const readers = files.filter(
      (file) =>
        !file.startsWith('functions/') &&
        file !== 'deploy/run-demo.ts' &&
        /process\.env|import\.meta\.env/.test(readFileSync(join(root, file), 'utf8')),
    )
    expect(readers).toEqual([])
  })
})
