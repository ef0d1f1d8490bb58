import { execFileSync, spawnSync } from 'node:child_process'
import { pbkdf2Sync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '../../shared/base/secret.ts'
import type { UploadedObject } from '../../shared/certificate/bundle.ts'
import { defaultLimits } from '../../shared/certificate/limits.ts'

/** Why the tests that need the openssl command cannot run here; undefined if they can. */
export function opensslMissing(): string | undefined {
  const { status } = spawnSync('openssl', ['version'])
  return status === 0 ? undefined : 'the openssl command is not installed'
}

/** A scratch folder in which openssl runs; files are named as in a command line. */
export interface Bench {
  folder: string
  write(name: string, content: string | Uint8Array): string
  read(name: string): Buffer
  /** Runs openssl in the folder and returns its standard output. */
  run(...args: string[]): Buffer
  /** Exit status and both outputs, for commands that may fail. */
  attempt(...args: string[]): { status: number | null; text: string }
  remove(): void
}

export function openBench(): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'certificates-'))
  return {
    folder,
    write(name, content) {
      writeFileSync(join(folder, name), content)
      return name
    },
    read: (name) => readFileSync(join(folder, name)),
    run: (...args) => execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] }),
    attempt(...args) {
      const { status, stdout, stderr } = spawnSync('openssl', args, { cwd: folder })
      return { status, text: `${stdout}${stderr}` }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

export function object(name: string, content: string | Uint8Array): UploadedObject {
  return { name, bytes: typeof content === 'string' ? Buffer.from(content) : content }
}

export const secret = (text: string) => new Secret(text)

/** Processor time that a call costs, in milliseconds: unlike the clock it does not depend on who else is busy. */
export function processorMs(call: () => unknown): number {
  const before = process.cpuUsage()
  call()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

let allowed: number | undefined
/**
 * What a call costs, as a share of what one upload may cost: the rounds of work that the limits allow, done here on the
 * same machine. Where work was done that nobody counted, this is far above 1.
 */
export function shareOfLimit(call: () => unknown): number {
  allowed ??= processorMs(() => pbkdf2Sync('password', 'salt', defaultLimits.rounds, 32, 'sha256'))
  return processorMs(call) / allowed
}
