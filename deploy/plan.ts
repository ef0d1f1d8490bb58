import { randomBytes, scryptSync } from 'node:crypto'
import { Failure } from '../shared/base/failure.ts'
import type { DesiredFunction, DesiredTrigger } from './desired.ts'
import type { AsyncSettings, DeployedFunction, DeployedTrigger } from './function-graph.ts'

/** What is there of one function. */
export interface Actual {
  function: DeployedFunction | undefined
  triggers: DeployedTrigger[]
  async: AsyncSettings | undefined
  /** Names of the published ones; undefined: not asked. */
  versions?: string[]
}

/** What has to be done to one function, and how a person is told. */
export interface Change {
  desired: DesiredFunction
  create: boolean
  code: boolean
  config: boolean
  /** A version that is in service and was never published: the run died before. */
  unpublished: string | undefined
  async: boolean
  triggers: {
    create: DesiredTrigger[]
    switch: { trigger: DeployedTrigger; status: string }[]
    remove: DeployedTrigger[]
  }
  /** `+ …`, `~ …`, `- …`: one line per difference, never a secret. */
  lines: string[]
}

/**
 * The deployment's own record, kept as a variable of the function: which package was uploaded, which digest the
 * service gave it, and a salted scrypt hash of the encrypted variables, which the service never gives back.
 */
export const RECORD = 'DEPLOYED'

export interface DeploymentRecord {
  /** SHA-256 of the zip, shortened. */
  package: string
  /** The service's digest of it: another one means that somebody changed the code by hand. */
  digest: string
  secrets: string
  /** The version that is published of it. */
  version: string
  /** The version that was in service before it; absent: none. */
  before?: string | undefined
}

/** Compares; changes nothing. */
export function planFunction(desired: DesiredFunction, packageHash: string, actual: Actual): Change {
  const current = actual.function
  const lines: string[] = []
  if (!current) {
    lines.push(
      `+ function ${desired.name} (${desired.runtime}, ${desired.memorySize} MB, ${desired.timeout} s, log in LTS)`,
    )
  }
  if (current && current.type !== 'v2') throw notOfThisType(current)
  const record = current && readRecord(current)
  const codeBefore = record && record.digest === current.digest ? record.package : undefined
  const code = codeBefore !== packageHash
  if (current && code) lines.push(`~ code: ${codeBefore ?? 'not ours, or changed by hand'} → ${packageHash}`)

  const wanted = configOf(desired)
  const configLines = current ? differences(current, wanted, desired) : []
  const secretsChanged = current !== undefined && !secretsMatch(desired, record?.secrets)
  if (secretsChanged) configLines.push(`~ encrypted variables: ${secretNames(desired)}`)
  lines.push(...configLines)

  const version = record?.version
  const lost = !code && actual.versions && version !== undefined && !actual.versions.includes(version)
  if (lost) lines.push(`+ version ${version}`)
  const { triggers, lines: triggerLines } = planTriggers(desired.triggers, actual.triggers)
  lines.push(...triggerLines)

  const { retries, maximumAge, failureTopic } = desired.async
  const asynchronous =
    actual.async?.retries !== retries ||
    actual.async.maximumAge !== maximumAge ||
    actual.async.failureTopic !== failureTopic
  if (asynchronous)
    lines.push(
      `${actual.async ? '~' : '+'} asynchronous runs: ${retries} retries within ${maximumAge} s; ${failureTopic ? `then ${failureTopic} is told` : 'nobody is told when they fail'}`,
    )
  return {
    desired,
    create: !current,
    code,
    // The record is part of the configuration, so new code always ends in new configuration.
    config: !current || code || configLines.length > 0,
    unpublished: lost ? version : undefined,
    async: asynchronous,
    triggers,
    lines,
  }
}

/** Known before anything is changed: a type cannot be changed, and taking the function away is not ours to decide. */
function notOfThisType({ func_name, type }: DeployedFunction): Failure {
  return new Failure({
    code: 'deploy.function-type',
    kind: 'never',
    message: `The function ${func_name} is of type ${type}, which has no Node.js 20; its type cannot be changed`,
    next: 'Run "npm run remove" with the same options, then deploy again: the store keeps everything that matters.',
    facts: { function: func_name, type },
  })
}

export function isEmpty(change: Change): boolean {
  return change.lines.length === 0
}

/** The body of create and update, without the variables. */
export function configOf(desired: DesiredFunction) {
  return {
    runtime: desired.runtime,
    handler: desired.handler,
    memory_size: desired.memorySize,
    timeout: desired.timeout,
    description: desired.description,
    xrole: desired.agency,
    app_xrole: desired.executionAgency,
    initializer_handler: desired.initializer?.handler ?? '',
    initializer_timeout: desired.initializer?.timeout ?? 0,
    strategy_config: { concurrency: desired.concurrency, concurrent_num: desired.requestsPerInstance },
    // Left out it means v1 by most sources, and v1 has neither this Node.js nor a limit of instances.
    type: 'v2',
    // Off by default: then nobody can see why a rotation failed. FunctionGraph makes group and stream itself.
    enable_lts_log: true,
  }
}

/** The settings of a version as an update takes them, without its variables. */
export function settingsOf(version: DeployedFunction) {
  const { runtime, handler, memory_size, timeout, description, xrole, app_xrole } = version
  const { initializer_handler, initializer_timeout, strategy_config, enable_lts_log } = version
  return {
    ...{ runtime, handler, memory_size, timeout, description, xrole, app_xrole },
    ...{ initializer_handler, initializer_timeout, strategy_config, enable_lts_log },
  }
}

/** Variables as the service takes them: JSON in a string, the open ones with the record among them. */
export function variablesOf(
  desired: Pick<DesiredFunction, 'environment' | 'secrets'>,
  record: Omit<DeploymentRecord, 'secrets'>,
) {
  const secrets = Object.entries(desired.secrets).map(([name, secret]) => [name, secret.reveal()])
  return {
    user_data: JSON.stringify({
      ...desired.environment,
      [RECORD]: JSON.stringify({ ...record, secrets: fingerprint(desired, randomBytes(12).toString('hex')) }),
    }),
    encrypted_user_data: secrets.length === 0 ? '' : JSON.stringify(Object.fromEntries(secrets)),
  }
}

function differences(
  current: DeployedFunction,
  wanted: ReturnType<typeof configOf>,
  desired: DesiredFunction,
): string[] {
  const lines: string[] = []
  const titles = {
    runtime: 'runtime',
    handler: 'handler',
    memory_size: 'memory (MB)',
    timeout: 'time-out (s)',
    description: 'description',
    xrole: 'agency',
    app_xrole: 'execution agency',
    initializer_handler: 'initializer',
    initializer_timeout: 'initializer time-out (s)',
    enable_lts_log: 'log in LTS',
  } as const
  for (const [name, title] of Object.entries(titles) as [keyof typeof titles, string][]) {
    // Without an initializer its time-out means nothing.
    if (name === 'initializer_timeout' && wanted.initializer_handler === '') continue
    if (current[name] !== wanted[name])
      lines.push(`~ ${title}: ${shown(current[name])} → ${shown(wanted[name])}`)
  }
  const { concurrency, concurrent_num } = wanted.strategy_config
  if (current.strategy_config.concurrency !== concurrency)
    lines.push(`~ instances at most: ${limit(current.strategy_config.concurrency)} → ${limit(concurrency)}`)
  if (current.strategy_config.concurrent_num !== concurrent_num)
    lines.push(`~ requests per instance: ${current.strategy_config.concurrent_num} → ${concurrent_num}`)
  const { [RECORD]: _record, ...before } = readVariables(current.user_data)
  for (const name of new Set([...Object.keys(before), ...Object.keys(desired.environment)])) {
    const [was, is] = [before[name], desired.environment[name]]
    if (was === is) continue
    if (was === undefined) lines.push(`+ variable ${name}: ${shown(is)}`)
    else if (is === undefined) lines.push(`- variable ${name}`)
    else lines.push(`~ variable ${name}: ${shown(was)} → ${shown(is)}`)
  }
  return lines
}

/** A trigger cannot be changed but for its status: one that differs is removed and another one made. */
function planTriggers(wanted: DesiredTrigger[], actual: DeployedTrigger[]) {
  const left = [...actual]
  const triggers: Change['triggers'] = { create: [], switch: [], remove: [] }
  const lines: string[] = []
  for (const trigger of wanted) {
    const index = left.findIndex(
      ({ trigger_type_code: type, event_data: data }) => type === trigger.type && covers(data, trigger.data),
    )
    const found = index < 0 ? undefined : left.splice(index, 1)[0]
    if (!found) {
      triggers.create.push(trigger)
      lines.push(`+ trigger ${trigger.type}: ${summary(trigger.data)}`)
    } else if (found.trigger_status !== trigger.status) {
      triggers.switch.push({ trigger: found, status: trigger.status })
      lines.push(`~ trigger ${trigger.type}: ${found.trigger_status} → ${trigger.status}`)
    }
  }
  for (const trigger of left) {
    triggers.remove.push(trigger)
    lines.push(`- trigger ${trigger.trigger_type_code}: ${summary(trigger.event_data)}`)
  }
  return { triggers, lines }
}

/** The service adds fields of its own to what was asked for. */
function covers(actual: Record<string, unknown>, wanted: Record<string, unknown>): boolean {
  return Object.entries(wanted).every(([name, value]) =>
    name === 'events' ? same(events(actual[name]), events(value)) : same(actual[name], value),
  )
}

/** `s3:ObjectCreated:*` may be read back as `ObjectCreated`: a trigger made anew at each deploy loses uploads meanwhile. */
function events(value: unknown): unknown {
  return Array.isArray(value)
    ? value.map((name) => String(name).replace(/^s3:/, '').replace(/:\*$/, ''))
    : value
}

function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return JSON.stringify(a.map(String).toSorted()) === JSON.stringify(b.map(String).toSorted())
  return String(a) === String(b)
}

function summary(data: Record<string, unknown>): string {
  const names = ['bucket', 'prefix', 'suffix', 'schedule_type', 'schedule', 'topic_urn', 'user_event']
  return names.flatMap((name) => (data[name] ? [`${name} ${String(data[name])}`] : [])).join(', ')
}

export function readVariables(text: string): Record<string, string> {
  try {
    return JSON.parse(text || '{}') as Record<string, string>
  } catch {
    return {}
  }
}

export function readRecord(current: DeployedFunction): DeploymentRecord | undefined {
  try {
    return JSON.parse(readVariables(current.user_data)[RECORD] ?? '') as DeploymentRecord
  } catch {
    return undefined
  }
}

function secretsMatch(desired: Secrets, recorded: string | undefined): boolean {
  const [salt = ''] = (recorded ?? '').split('.')
  return recorded === fingerprint(desired, salt)
}

type Secrets = Pick<DesiredFunction, 'secrets'>

/** Slow on purpose: whoever may read the function's settings must not guess a weak password from it. */
function fingerprint(desired: Secrets, salt: string): string {
  const text = JSON.stringify(
    Object.entries(desired.secrets).map(([name, secret]) => [name, secret.reveal()]),
  )
  if (text === '[]') return 'none'
  return `${salt}.${scryptSync(text, salt, 24, { N: 2 ** 15, maxmem: 64 * 1024 * 1024 }).toString('hex')}`
}

function secretNames({ secrets }: DesiredFunction): string {
  return Object.keys(secrets).join(', ') || 'none any more'
}

function shown(value: unknown): string {
  return value === '' || value === undefined ? '(none)' : String(value)
}

function limit(concurrency: number): string {
  return concurrency === -1 ? 'no limit' : String(concurrency)
}
