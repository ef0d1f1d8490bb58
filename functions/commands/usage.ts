import { type ParseArgsConfig, parseArgs } from 'node:util'
import { Failure } from '../../shared/base/failure.ts'

/** Wrong words on the command line: exit status 2. */
export class UsageError extends Failure {
  constructor(message: string) {
    super({
      code: 'usage.wrong',
      kind: 'never',
      message,
      next: 'cert-rotation help lists the commands and their options.',
    })
  }
}

/** `parseArgs` with sentences instead of stack traces. */
export function readArguments<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config)
  } catch (thrown) {
    throw new UsageError((thrown as Error).message.split('. ')[0] ?? 'unreadable arguments')
  }
}

export const common = {
  config: { type: 'string', default: 'rotation.yaml' },
  json: { type: 'boolean', default: false },
  quiet: { type: 'boolean', default: false },
} as const

export function usage(): string {
  return `Puts renewed TLS certificates into service on Huawei Cloud and Open Telekom Cloud.

  cert-rotation demo [--cert FILE --key FILE --host NAME]   try it, without an account
  cert-rotation demo --renew           the same with a certificate that renews itself (needs Pebble)
  cert-rotation rotate [NAME...]       rotate what lies in incoming/
  cert-rotation tick                   the timer's job, once
  cert-rotation watch                  keep watching the store, and tick: the whole service on one machine
  cert-rotation plan [NAME...]         what would be done and why, changing nothing
  cert-rotation inspect FILE... [--host NAME] [--at INSTANT] [--trust public|private:FILE|any]
                                       read any bundle and give the verdict, offline
  cert-rotation status                 what is in service, until when, and what happens next
  cert-rotation emulator [--port P] [--tls-port P] [--seed FILE]
                                       the embedded cloud on its own
  cert-rotation invoke EVENT.json      hand a saved event to the real handler

Common: --config rotation.yaml · --json (one JSON document on standard output) · --quiet
Exit status: 0 done or nothing to do · 1 something failed or was refused · 2 wrong usage or config ·
3 unfinished, run again.
`
}
