import type { Clock } from '../shared/base/clock.ts'
import { Failure } from '../shared/base/failure.ts'
import type { DesiredFunction, DesiredService } from './desired.ts'
import type { FunctionGraph } from './function-graph.ts'
import {
  type Change,
  configOf,
  isEmpty,
  planFunction,
  RECORD,
  readRecord,
  readVariables,
  settingsOf,
  variablesOf,
} from './plan.ts'

export interface Parties {
  functionGraph: FunctionGraph
  clock: Clock
  /** One line for the person at the terminal. */
  say(line: string): void
}

/** A function's package, by the function's name in serverless.yml. */
export interface Artifact {
  zip: Uint8Array
  /** SHA-256 of the zip, shortened. */
  hash: string
}

const ACTIVE_WITHIN_MS = 60_000
const POLL_MS = 500

/** What has to be done, and how a person is told; nothing was changed yet. */
export interface Planned {
  lines: string[]
  apply(): Promise<void>
}

/**
 * Makes the cloud look like serverless.yml: says what differs, changes exactly that, waits until the service shows it
 * and publishes a version. Says so and calls nothing that changes anything where nothing differs. A run that broke off
 * is finished by the next one, because every step is decided by what is there.
 */
export async function deploy(
  service: DesiredService,
  artifacts: ReadonlyMap<string, Artifact>,
  parties: Parties,
): Promise<{ changed: number }> {
  const due = await planDeployment(service, artifacts, parties)
  if (due.length === 0) {
    parties.say(`Nothing to do: ${service.functions.length} functions are as serverless.yml wants them.`)
    return { changed: 0 }
  }
  for (const { lines } of due) for (const line of lines) parties.say(line)
  for (const { apply } of due) await apply()
  return { changed: due.length }
}

/** One for each function that is not as it should be. */
export async function planDeployment(
  service: DesiredService,
  artifacts: ReadonlyMap<string, Artifact>,
  parties: Parties,
): Promise<Planned[]> {
  // One name for all that is published now, so that they go back together.
  const version = versionNow(parties)
  const due: Planned[] = []
  for (const desired of service.functions) {
    const artifact = artifacts.get(desired.key)!
    const change = await compare(desired, artifact, parties)
    if (isEmpty(change)) continue
    due.push({
      lines: [desired.name, ...change.lines.map((line) => `  ${line}`)],
      apply: () => apply(change, artifact, { version, keep: service.keepVersions }, parties),
    })
  }
  return due
}

async function compare(
  desired: DesiredFunction,
  artifact: Artifact,
  { functionGraph }: Parties,
): Promise<Change> {
  const found = await functionGraph.show(desired.name)
  return planFunction(desired, artifact.hash, {
    function: found,
    triggers: found ? await functionGraph.triggers(desired.name) : [],
    async: found ? await functionGraph.asyncSettings(desired.name) : undefined,
    ...(found
      ? { versions: (await functionGraph.versions(desired.name)).map(({ version }) => version) }
      : {}),
  })
}

async function apply(
  { desired, create, code, config, unpublished, async: asynchronous, triggers }: Change,
  artifact: Artifact,
  publishing: { version: string; keep: number },
  parties: Parties,
): Promise<void> {
  const { functionGraph, say } = parties
  const { name } = desired
  const secrets = Object.values(desired.secrets)
  if (create) {
    const { strategy_config: _later, ...body } = configOf(desired)
    await functionGraph.create(name, withoutEmpty(body), artifact.zip, secrets)
  } else if (code) await functionGraph.updateCode(name, artifact.zip)
  if (config || code || unpublished) {
    // The service's own digest belongs into the record: it tells later whether the code is still this one.
    const uploaded = await functionGraph.show(name)
    if (!uploaded) throw vanished(name)
    const versions = await functionGraph.versions(name)
    const record = readRecord(uploaded)
    const isPublished = versions.some(({ version }) => version === record?.version)
    const before = isPublished ? record?.version : (record?.before ?? versions[0]?.version)
    const version = config || code ? publishing.version : unpublished!
    if (config || code) {
      const next = { package: artifact.hash, digest: uploaded.digest, version, before }
      const { type: _fixed, ...settings } = configOf(desired)
      await functionGraph.updateConfig(name, { ...settings, ...variablesOf(desired, next) }, secrets)
      await untilShown(desired, artifact, parties)
    }
    // Room first: the service takes twenty at most. What was in service until now is the way back.
    const others = versions.filter((one) => one.version !== before)
    for (const old of others.slice(Math.max(0, publishing.keep - (before ? 2 : 1))))
      await functionGraph.removeVersion(name, old.version)
    await functionGraph.publish(name, version, uploaded.digest, `package ${artifact.hash}`)
  }
  if (asynchronous) await functionGraph.setAsyncSettings(name, desired.async)
  // A bucket has room for one trigger: the old one goes first. What is uploaded in between, the timer finds.
  for (const trigger of triggers.remove) await functionGraph.deleteTrigger(name, trigger)
  for (const { type, status, data } of triggers.create)
    await functionGraph.createTrigger(name, type, status, data)
  for (const { trigger, status } of triggers.switch)
    await functionGraph.setTriggerStatus(name, trigger, status)
  if (triggers.create.length > 0) await untilTriggersActive(desired, parties)
  say(`${name}: ${create ? 'created' : 'updated'}`)
}

/** Reads until the service shows the new configuration; some seconds can pass. */
async function untilShown(desired: DesiredFunction, artifact: Artifact, parties: Parties): Promise<void> {
  await waitFor(parties, `function ${desired.name} to show its new configuration`, async () => {
    const found = await parties.functionGraph.show(desired.name)
    if (!found || found.code_size === 0) return false
    const { code, config } = planFunction(desired, artifact.hash, {
      function: found,
      triggers: [],
      async: undefined,
    })
    return !code && !config
  })
}

async function untilTriggersActive(desired: DesiredFunction, parties: Parties): Promise<void> {
  const wanted = desired.triggers.filter(({ status }) => status === 'ACTIVE').length
  await waitFor(parties, `the triggers of function ${desired.name} to become active`, async () => {
    const found = await parties.functionGraph.triggers(desired.name)
    return found.filter(({ trigger_status: status }) => status === 'ACTIVE').length >= wanted
  })
}

async function waitFor({ clock }: Parties, what: string, done: () => Promise<boolean>): Promise<void> {
  const end = clock.monotonic() + ACTIVE_WITHIN_MS
  while (!(await done())) {
    if (clock.monotonic() >= end)
      throw new Failure({
        code: 'deploy.not-active',
        kind: 'later',
        message: `Waited ${ACTIVE_WITHIN_MS / 1000} s in vain for ${what}`,
        next: 'Look at the function in the console, then deploy again.',
      })
    await clock.sleep(POLL_MS)
  }
}

function versionNow({ clock }: Parties): string {
  return `d${clock.now().toISOString().replace(/[-:Z]/g, '').replace(/[T.]/g, '-')}`
}

/**
 * Back to the version that was in service before the newest one: its code and its settings, on the functions that the
 * newest deployment changed. Secrets stay as they are: the service gives no old ones back. Looks first, so that nothing
 * is changed where one of them has no way back; a run that broke off is finished by the next one.
 */
export async function planRollback(service: DesiredService, parties: Parties): Promise<Planned[]> {
  const { functionGraph } = parties
  const now = []
  for (const desired of service.functions) {
    const current = await functionGraph.show(desired.name)
    if (!current) throw vanished(desired.name)
    now.push({ desired, record: readRecord(current) })
  }
  const newest = now
    .map(({ record }) => record?.version ?? '')
    .toSorted()
    .at(-1)
  const due: Planned[] = []
  for (const { desired, record } of now) {
    if (record?.version !== newest) continue
    const { name } = desired
    const before = record?.before
    const old = before === undefined ? undefined : await functionGraph.show(name, before)
    if (!record || before === undefined || !old) throw noWayBack(name, before)
    due.push({
      lines: [name, `  ~ version: ${record.version} → ${before}`],
      apply: async () => {
        await functionGraph.updateCode(name, await functionGraph.download(name, before))
        const shown = await functionGraph.show(name)
        if (shown?.digest !== old.digest) throw notThisCode(name, before)
        const { [RECORD]: _own, ...environment } = readVariables(old.user_data)
        const { secrets: _old, ...rest } = readRecord(old)!
        const variables = variablesOf({ environment, secrets: desired.secrets }, rest)
        const secrets = Object.values(desired.secrets)
        await functionGraph.updateConfig(name, { ...settingsOf(old), ...variables }, secrets)
        parties.say(`${name}: back to ${before}`)
      },
    })
  }
  return due
}

function noWayBack(name: string, before: string | undefined): Failure {
  return new Failure({
    code: 'deploy.no-version-before',
    kind: 'never',
    message: before
      ? `The version ${before}, which was in service before, is not there any more at function ${name}`
      : `The function ${name} has no version from before: this is its first`,
    next: 'Deploy the package that you want to have in service.',
  })
}

function notThisCode(name: string, version: string): Failure {
  return new Failure({
    code: 'deploy.not-this-code',
    kind: 'again',
    message: `The code of function ${name} is not that of version ${version} after it was uploaded`,
    next: 'Run it again.',
  })
}

/** Deletes the functions with their triggers and versions. What is not there any more is not missed. */
export async function remove(service: DesiredService, parties: Parties): Promise<{ removed: number }> {
  let removed = 0
  for (const { name } of service.functions) {
    if (!(await parties.functionGraph.show(name))) {
      parties.say(`${name}: is not there`)
      continue
    }
    // An OBS trigger that outlives its function would keep the bucket's notification.
    for (const trigger of await parties.functionGraph.triggers(name))
      await parties.functionGraph.deleteTrigger(name, trigger)
    await parties.functionGraph.remove(name)
    parties.say(`${name}: removed`)
    removed += 1
  }
  return { removed }
}

/** What is deployed, a block per function. */
export async function info(service: DesiredService, parties: Parties): Promise<void> {
  const { functionGraph, say } = parties
  for (const { name } of service.functions) {
    const found = await functionGraph.show(name)
    if (!found) {
      say(`${name}: not deployed`)
      continue
    }
    const versions = await functionGraph.versions(name)
    const triggers = await functionGraph.triggers(name)
    say(name)
    say(`  urn       ${found.func_urn}`)
    say(
      `  runtime   ${found.runtime}, ${found.memory_size} MB, ${found.timeout} s, ${Math.round(found.code_size / 1024)} KB`,
    )
    say(`  agency    ${found.app_xrole || found.xrole || '(none)'}`)
    say(`  modified  ${found.last_modified}`)
    say(`  versions  ${versions.map(({ version }) => version).join(', ') || '(none)'}`)
    for (const { trigger_type_code: type, trigger_status: status, event_data: data } of triggers)
      say(`  trigger   ${type} ${status} ${String(data.bucket ?? data.schedule ?? '')}`)
  }
}

export function vanished(name: string): Failure {
  return new Failure({
    code: 'deploy.no-function',
    kind: 'never',
    message: `There is no function ${name}`,
    next: 'Run npm run deploy first, with the same --stage.',
  })
}

function withoutEmpty(body: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(body).filter(
      ([name, value]) => value !== '' && !(name === 'initializer_timeout' && value === 0),
    ),
  )
}
