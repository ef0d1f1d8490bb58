import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import { inspectReport } from '../../shared/certificate/inspect-report.ts'
import { renderInspect } from '../../shared/certificate/render-inspect.ts'
import { readTrust, type Trust } from '../../shared/certificate/trust.ts'
import { useColor } from './session.ts'
import { readArguments, UsageError } from './usage.ts'

/** `cert-rotation inspect FILE...`: the verdict of `rotate`, offline and on any bundle. Exit status 1 for a refusal. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments({
    args,
    options: {
      host: { type: 'string', multiple: true, default: [] },
      at: { type: 'string' },
      trust: { type: 'string', default: 'any' },
      'password-file': { type: 'string' },
      json: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  })
  if (positionals.length === 0) throw new UsageError('inspect takes one or more files')
  const at = values.at ? new Date(values.at) : new Date()
  if (Number.isNaN(at.getTime()))
    throw new UsageError(
      `--at takes an instant such as 2026-11-22T12:00:00Z, not ${JSON.stringify(values.at)}`,
    )
  const password = values['password-file']
  const report = inspectReport(await Promise.all(positionals.map(readOne)), {
    at,
    domains: values.host,
    trust: await readTrustOption(values.trust),
    passwords: password ? [new Secret((await read(password)).toString('utf8').replace(/\r?\n$/, ''))] : [],
  })
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  else if (!values.quiet) process.stdout.write(renderInspect(report, { color: useColor(process.stdout) }))
  return report.verdict.decision === 'accept' ? 0 : 1
}

async function readOne(file: string) {
  return { name: basename(file), bytes: await read(file) }
}

async function readTrustOption(trust: string): Promise<Trust> {
  if (trust === 'public' || trust === 'any') return readTrust(trust)
  if (trust.startsWith('private:')) return readTrust({ private: await read(trust.slice('private:'.length)) })
  throw new UsageError(`--trust takes public, any or private:FILE, not ${JSON.stringify(trust)}`)
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    throw new Failure({
      code: 'config.unreadable-file',
      kind: 'never',
      message: `${file} cannot be read`,
      next: 'Name an existing file.',
      cause,
    })
  }
}
