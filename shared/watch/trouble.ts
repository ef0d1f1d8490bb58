import type { FailureReport } from '../base/failure.ts'
import type { RecordedDomain } from '../rotation/record/domain.ts'
import type { RotationState } from '../rotation/record/state.ts'
import type { ConditionMemory } from './alert-memory.ts'
import { hasSettled } from './conditions.ts'
import type { DomainObservation } from './facts.ts'
import type { ServedProblem } from './notice.ts'
import type { ServedVerdict } from './served.ts'

/** What is wrong at one domain, how sure that is, and what a person needs to know to put it right. */
export interface DomainTrouble {
  problem: ServedProblem
  detail: string
  /** Clients are refused or served a certificate that nobody verified, and it is no passing thing. */
  critical: boolean
  /** Looked at twice, `servedWithin` apart, or in two ticks: told. One look alone is no verdict. */
  certain: boolean
  /** ISO instant. */
  since: string
  /** The tick that found it before this look, where one did. */
  foundAt?: string
  /** Not seen now: there is no way to it from here, and this is what the last tick found. */
  remembered?: boolean
  /** What should be bound, as a person finds it at the gateway's console. */
  before?: string
  /** Why it could not be put right. */
  refusal?: FailureReport
}

export interface TroubleInput {
  place: Pick<DomainObservation, 'gateway' | 'host' | 'binding' | 'seenTwice'>
  verdict: ServedVerdict
  record?: RecordedDomain | undefined
  state?: RotationState | undefined
  /** Conditions as the last tick remembered them. */
  memory: Readonly<Record<string, ConditionMemory>>
  now: Date
}

const problems = new Set<string>(['nobody', 'older', 'foreign', 'incomplete chain', 'wrong name'])

export function servedKey(gateway: string, host: string): string {
  return `served/${gateway}/${host}`
}

export function isProblem(verdict: ServedVerdict): verdict is { verdict: ServedProblem; detail: string } {
  return problems.has(verdict.verdict)
}

/** Undefined where nothing is wrong, as far as anybody knows. */
export function troubleAt(input: TroubleInput): DomainTrouble | undefined {
  const { place, verdict, record, state, memory, now } = input
  const { gateway, host, binding } = place
  const known = memory[servedKey(gateway, host)]
  const around = {
    ...before(input),
    ...optional('refusal', refusalAt(record, host, state)),
  }
  if (isProblem(verdict)) {
    const { verdict: problem, detail } = verdict
    const same = known?.signature === problem ? known : undefined
    const certain = place.seenTwice === true || (same !== undefined && isCertain(same, now, 1) && !same.gone)
    const since =
      (binding?.certificates.length === 0 ? record?.bareSince : undefined) ?? same?.since ?? now.toISOString()
    const foundAt = same && isCertain(same, now, 0) ? same.seenAt : undefined
    const critical = certain && problem !== 'incomplete chain'
    return { problem, detail, critical, certain, since, ...optional('foundAt', foundAt), ...around }
  }
  const bare = binding && binding.certificates.length === 0
  if (known === undefined || isJudged({ verdict, bare }, known)) return undefined
  if (!isCertain(known, now, 0) || known.gone || !problems.has(known.signature ?? '')) return undefined
  const problem = known.signature as ServedProblem
  return {
    problem,
    detail: 'cannot be seen from here now; this is what the last tick found',
    critical: problem !== 'incomplete chain',
    certain: true,
    since: known.since,
    ...optional('foundAt', known.seenAt),
    remembered: true,
    ...around,
  }
}

/** Whether this look can say of a remembered trouble that it is over: with the witness that saw it. */
export function isJudged(
  { verdict, bare }: { verdict: ServedVerdict; bare?: boolean | undefined },
  known: ConditionMemory | undefined,
): boolean {
  if (known?.bare === true) return bare !== undefined
  return verdict.verdict !== 'not reached' && verdict.verdict !== 'not looked at'
}

/** `more`: sightings on top of those remembered, for a look that is being judged now. */
function isCertain(known: ConditionMemory, now: Date, more: 0 | 1): boolean {
  return (
    known.certainAt !== undefined ||
    known.toldAt !== undefined ||
    (more === 1 && hasSettled(known.since, known.seen + 1, now))
  )
}

function before({ record, state, place }: TroubleInput): { before?: string } {
  const { current, deployed } = state ?? {}
  const named = (id: string | undefined, name: string | undefined) =>
    id === undefined ? name : name === undefined || name === '' ? id : `${name} (${id})`
  if (record && current) {
    const ours = current.certificates[place.gateway]
    const bound = record.boundAt !== undefined || current.status === 'done'
    const text = bound
      ? named(ours, current.remoteName)
      : named(record.predecessor?.id, record.predecessor?.name)
    if (text !== undefined) return { before: text }
  }
  return deployed === undefined
    ? {}
    : { before: `${deployed.commonName}, valid until ${deployed.notAfter.slice(0, 10)}` }
}

/** Newest first: what the rotation that is under way was refused, else what the last outcome says about this domain. */
function refusalAt(
  record: RecordedDomain | undefined,
  host: string,
  state: RotationState | undefined,
): FailureReport | undefined {
  if (record?.givenUp) return record.givenUp
  if (state?.retry) return state.retry.failure
  const [last] = state?.outcomes ?? []
  return last?.domains.find((domain) => domain.host === host)?.failure
}

function optional<Name extends string, Value>(name: Name, value: Value | undefined): { [K in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [K in Name]?: Value }
}
