import { spawn } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { readOutbox } from '../../shared/notify/outbox.ts'
import { gather } from '../../shared/runtime/gather.ts'
import { blind, isBlind } from '../../shared/runtime/not-seen.ts'
import { publish, statusKeys } from '../../shared/runtime/publish.ts'
import type { StatusModel } from '../../shared/status/model.ts'
import { renderPage } from '../../shared/status/page.ts'
import { renderTable } from '../../shared/status/table.ts'
import { watchKeys } from '../../shared/watch/alert-memory.ts'
import { isAcknowledged } from '../../shared/watch/facts.ts'
import { columnsOf, openSession, type Session, useColor } from './session.ts'
import { readArguments, UsageError } from './usage.ts'

/**
 * `cert-rotation status [--open]`: what is in service, until when, what happens next; and writes the page into
 * the store. Looks at every domain once, by the gateways' lists and by handshake; that something is critical is what
 * the last tick, which looks twice, has found; what only this look has seen, or could not see, is exit 3. Changes nothing at any gateway.
 */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('status', args)
  const failOn = readFailOn(values['fail-on'])
  const session = await openSession(values)
  try {
    const { wiring, parties } = session
    const stored = await wiring.store.get(watchKeys.outbox, { maxBytes: 4 * 1024 * 1024 })
    const outbox = readOutbox(stored && new TextDecoder().decode(stored.bytes))
    const gathered = await gather(wiring, parties)
    const model = await publish(parties, gathered, outbox, {
      ticked: false,
      public: wiring.config.status.public,
    })
    // "Nothing is wrong" is said only by somebody who has looked.
    const dark = failOn !== 'never' && isBlind(gathered)
    const wrong = failOn !== 'never' && (dark || model.unread.length > 0 || needsSomebody(model, failOn))
    const table = `${renderTable(model, { color: useColor(process.stdout), width: columnsOf(process.stdout) })}\n`
    if (values.json) process.stdout.write(`${JSON.stringify(model)}\n`)
    else if (wrong || !values.quiet) process.stdout.write(table)
    session.tellRest(table)
    if (values.open) await openInBrowser(await pageFile(session, () => renderPage(model)))
    if (dark) throw blind(gathered)
    return wrong ? 1 : failOn !== 'never' && unsettled(model) ? 3 : 0
  } finally {
    await session.close()
  }
}

const failOnChoices = ['warning', 'critical', 'never'] as const
type FailOn = (typeof failOnChoices)[number]

function readFailOn(text: string): FailOn {
  const choice = failOnChoices.find((one) => one === text)
  if (choice) return choice
  throw new UsageError(`--fail-on takes ${failOnChoices.join(', ')}, not ${JSON.stringify(text)}`)
}

/** What somebody has acknowledged (`snoozeUntil`) needs nobody. */
function needsSomebody(
  { certificates, misplaced, at }: StatusModel,
  failOn: Exclude<FailOn, 'never'>,
): boolean {
  if (failOn === 'warning' && misplaced?.length) return true
  return certificates.some(
    (one) =>
      !isAcknowledged(one, new Date(at)) &&
      (one.health === 'critical' || (failOn === 'warning' && one.health === 'warning')),
  )
}

/** A domain was seen to be wrong and nobody has looked twice, or none could be seen at all: that is no "all is well". */
function unsettled({ certificates, at }: StatusModel): boolean {
  return certificates.some(
    (one) =>
      !isAcknowledged(one, new Date(at)) &&
      (one.domains.some((domain) => domain.unsettled) ||
        one.problems.some(({ kind }) => kind === 'not seen')),
  )
}

/** The page is one file that works from disk; of a bucket a copy is made. */
async function pageFile({ wiring }: Session, page: () => string): Promise<string> {
  const { directory } = wiring.config.store
  if (directory !== undefined) return resolve(wiring.folder, directory, statusKeys.page)
  const file = join(await mkdtemp(join(tmpdir(), 'cert-rotation-status-')), 'index.html')
  await writeFile(file, page(), { mode: 0o600 })
  return file
}

async function openInBrowser(file: string): Promise<void> {
  const [command, ...rest] = { darwin: ['open'], win32: ['cmd', '/c', 'start', ''] }[
    process.platform as string
  ] ?? ['xdg-open']
  const child = spawn(command!, [...rest, file], { stdio: 'ignore', detached: true })
  const opened = await new Promise<boolean>((done) => {
    child.once('error', () => done(false))
    child.once('spawn', () => done(true))
  })
  child.unref()
  process.stderr.write(opened ? `Opened ${file}\n` : `No browser could be started; the page is ${file}\n`)
}
