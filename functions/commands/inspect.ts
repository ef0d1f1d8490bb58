import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { Failure } from '../../shared/base/failure.ts'
import { printable } from '../../shared/base/printable.ts'
import { Secret } from '../../shared/base/secret.ts'
import type { UploadedObject } from '../../shared/certificate/bundle.ts'
import { defaultLimits } from '../../shared/certificate/limits.ts'
import { renderInspect } from '../../shared/certificate/render-inspect.ts'
import { readTrust, type Trust } from '../../shared/certificate/trust.ts'
import { createWorkerReader } from '../../shared/reader/in-worker.ts'
import { useColor } from './session.ts'
import { readArguments, UsageError } from './usage.ts'

/** A CA bundle with every public root has some 250 KB. */
const MOST_ROOTS_BYTES = 8 * 1024 * 1024

/** `cert-rotation inspect FILE...`: the verdict of `rotate`, offline and on any bundle. Exit status 1 for a refusal. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments('inspect', args)
  if (positionals.length === 0)
    throw new UsageError('inspect takes one or more files, or - for standard input')
  const at = values.at ? new Date(values.at) : new Date()
  if (Number.isNaN(at.getTime()))
    throw new UsageError(
      `--at takes an instant such as 2026-11-22T12:00:00Z, not ${JSON.stringify(values.at)}`,
    )
  const password = values['password-file']
  const reader = createWorkerReader()
  const report = await reader.inspect(await Promise.all(positionals.map(readOne)), {
    at,
    domains: values.host,
    trust: await readTrustOption(values.trust),
    passwords: password
      ? [new Secret((await whole(password, 4096)).toString('utf8').replace(/\r?\n$/, ''))]
      : [],
  })
  await reader.close()
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  else if (!values.quiet) process.stdout.write(renderInspect(report, { color: useColor(process.stdout) }))
  return report.verdict.decision === 'accept' ? 0 : 1
}

/** One byte more than is judged, so that a disk image costs no memory and is still refused with its size. */
async function readOne(file: string): Promise<UploadedObject> {
  const { bytes, size } = await read(file, defaultLimits.objectBytes + 1)
  return { name: file === '-' ? 'standard input' : basename(file), bytes, size }
}

async function readTrustOption(trust: string): Promise<Trust> {
  if (trust === 'public' || trust === 'any') return readTrust(trust)
  if (trust.startsWith('private:'))
    return readTrust({ private: await whole(trust.slice('private:'.length), MOST_ROOTS_BYTES) })
  throw new UsageError(`--trust takes public, any or private:FILE, not ${JSON.stringify(trust)}`)
}

async function whole(file: string, most: number): Promise<Buffer> {
  const { bytes, size } = await read(file, most)
  if (size <= most) return bytes
  throw unreadable(file, `has ${size} bytes, more than ${most}`, 'Name the right file.')
}

/** At most `most` bytes, and how many there are (as far as anybody can know of a pipe). */
async function read(file: string, most: number): Promise<{ bytes: Buffer; size: number }> {
  if (file === '-') return await readInput(most)
  try {
    const handle = await open(file, constants.O_RDONLY)
    try {
      const stats = await handle.stat()
      if (stats.isDirectory())
        throw unreadable(file, 'is a directory', `Name the files in it, for example ${printable(file)}/*`)
      const parts: Buffer[] = []
      let length = 0
      while (length < most) {
        const { bytesRead, buffer } = await handle.read(Buffer.alloc(Math.min(65536, most - length)))
        if (bytesRead === 0) break
        parts.push(buffer.subarray(0, bytesRead))
        length += bytesRead
      }
      return { bytes: Buffer.concat(parts), size: stats.isFile() ? Math.max(stats.size, length) : length }
    } finally {
      await handle.close()
    }
  } catch (thrown) {
    if (thrown instanceof Failure) throw thrown
    const { code } = thrown as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code ?? 'unknown error'})`
    throw unreadable(file, why, 'Name existing files that you may read.', thrown)
  }
}

async function readInput(most: number): Promise<{ bytes: Buffer; size: number }> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of process.stdin) {
    parts.push(part)
    length += part.length
    if (length >= most) break
  }
  return { bytes: Buffer.concat(parts), size: length }
}

function unreadable(file: string, why: string, next: string, cause?: unknown): Failure {
  return new Failure({
    code: 'config.unreadable-file',
    kind: 'never',
    message: `${printable(file)} ${why}`,
    next,
    cause,
  })
}
