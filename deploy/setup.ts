import { isDeepStrictEqual } from 'node:util'
import { type Clock, systemClock } from '../shared/base/clock.ts'
import { Failure } from '../shared/base/failure.ts'
import { CONFIG_KEY } from '../shared/runtime/service.ts'
import { type Bucket, openBucket } from './bucket.ts'
import { type Parties, type Planned, planDeployment } from './deployment.ts'
import type { DesiredService } from './desired.ts'
import type { FoundAgency, FoundPolicy, Level } from './identity.ts'
import { type Installation, serviceOf, topicOf } from './installation.ts'
import { packagesFor } from './packages.ts'
import { agencyPolicies, cloudOf, type Policy } from './policies.ts'
import { FUNCTIONGRAPH, trustsAnother } from './preflight.ts'
import type { DeploySession } from './session.ts'

/** Configs of before stay here, by the instant at which they were written. */
const OLDER = 'config/older/'
const OLDER_KEPT = 5

/** What an account needs for an installation, part by part. */
export interface SetupPlan {
  service: DesiredService
  parts: Planned[]
  /** What only a person can do, once it is made. */
  byHand: string[]
}

/**
 * What differs between an account and what the installation needs, in the order in which it is made: bucket, topic,
 * agency with its policies, config, functions. Nothing is changed by planning; every part is decided by what is there,
 * so a run that broke off is finished by the next one, and one where nothing differs changes nothing.
 */
export async function planSetup(
  installation: Installation,
  session: DeploySession,
  parties: Parties,
  packages = packagesFor,
): Promise<SetupPlan> {
  const bucket = openBucket(installation.place, session.key)
  const topic = topicOf(installation, session)
  const there = await bucket.exists()
  const parts: Planned[] = []
  const byHand: string[] = []
  if (!there)
    parts.push({
      lines: [`+ bucket ${installation.place.bucket} in ${installation.region}, private`],
      apply: bucket.create,
    })
  if (!(await session.topics.exists(topic.urn))) {
    parts.push({
      lines: [`+ topic ${topic.name}: hears of a function whose last try failed`],
      apply: () => session.topics.create(topic.name),
    })
    byHand.push(
      `Subscribe an address to the topic ${topic.name} (console: SMN, Topics) and confirm it: until then nobody hears of a function that failed.`,
    )
  }
  const { secrets } = installation
  requireRoom(secrets)
  parts.push(...(await planAgency(installation, session)))
  const upload = await planConfig(installation.text, bucket, there)
  const service = serviceOf(installation, topic.urn, session.projectId)
  const functions = await planDeployment(service, await packages(service, installation.files), parties)
  return { service, parts: [...parts, ...upload, ...functions], byHand }
}

/** FunctionGraph's own limits, which it would name only after half of the work. */
function requireRoom(secrets: Installation['secrets']): void {
  const size = JSON.stringify(
    Object.fromEntries(Object.entries(secrets).map(([name, secret]) => [name, secret.reveal()])),
  ).length
  // The open variables and the deployment's record take the rest.
  if (Object.keys(secrets).length <= 13 && size <= 3_300) return
  throw new Failure({
    code: 'setup.too-many-secrets',
    kind: 'never',
    message: `The config asks for ${Object.keys(secrets).length} variables of ${size} characters together: a function has room for 13 with 3300`,
    next: 'Write what is no secret into the config itself.',
  })
}

/** The agency and exactly the policies that the config needs: none is granted for what it does not use. */
async function planAgency(installation: Installation, session: DeploySession): Promise<Planned[]> {
  const { identity } = session
  const { name, config, region } = installation
  const agency = await identity.agency(name)
  if (agency && agency.trust_domain_name !== FUNCTIONGRAPH)
    throw trustsAnother(name, agency.trust_domain_name)
  const all = await identity.policies()
  const granted = agency
    ? { domain: await identity.granted('domain', agency), project: await identity.granted('project', agency) }
    : { domain: [], project: [] }
  const planned: Planned[] = []
  let id = agency?.id
  if (!agency)
    planned.push({
      lines: [`+ agency ${name}: lets FunctionGraph act for you`],
      apply: async () => {
        id = await identity.createAgency(name, FUNCTIONGRAPH)
      },
    })
  const wanted = agencyPolicies(config, cloudOf(region))
  for (const part of POLICY_PARTS) {
    const policyName = `${name}-${part}`
    const level = levelOf(part)
    const policy = wanted[part]
    const found = all.find((one) => one.display_name === policyName)
    const has = found !== undefined && granted[level].includes(found.id)
    if (!policy) {
      if (found) planned.push(withdrawn(found, agency, has ? level : undefined, session))
      continue
    }
    const differs = found === undefined || !isSamePolicy(found.policy, policy)
    if (has && !differs) continue
    planned.push({
      lines: [
        ...(found === undefined ? [`+ policy ${policyName}: ${sizeOf(policy)}`] : []),
        ...(found && differs ? [`~ policy ${policyName}: ${changeOf(found.policy, policy)}`] : []),
        ...(has ? [] : [`+ granted to ${name}: ${policyName}`]),
      ],
      apply: async () => {
        const written = differs ? await identity.writePolicy(policyName, level, policy, found?.id) : found.id
        if (!has) await identity.grant(level, id!, written, policyName)
      },
    })
  }
  return planned
}

/** The parts of `agencyPolicies`, by the suffix in their names. */
export const POLICY_PARTS = ['project', 'iam', 'storage'] as const
export const levelOf = (part: (typeof POLICY_PARTS)[number]): Level =>
  part === 'project' ? 'project' : 'domain'

function withdrawn(
  policy: FoundPolicy,
  agency: FoundAgency | undefined,
  level: Level | undefined,
  { identity }: DeploySession,
): Planned {
  return {
    lines: [`- policy ${policy.display_name}: the config needs none of it any more`],
    apply: async () => {
      if (agency && level) await identity.revoke(level, agency, policy.id)
      await identity.deletePolicy(policy)
    },
  }
}

function sizeOf({ Statement }: Policy): string {
  const { size } = new Set(Statement.flatMap(({ Action }) => Action))
  return size === 1 ? '1 action' : `${size} actions`
}

/** IAM may give the fields of a statement, and lists, in an order of its own. */
function isSamePolicy(one: Policy, other: Policy): boolean {
  const sorted = ({ Statement }: Policy) =>
    Statement.map(({ Effect, Action, Resource }) => [Effect, Action.toSorted(), Resource?.toSorted() ?? []])
  return isDeepStrictEqual(sorted(one), sorted(other))
}

function changeOf(before: Policy, after: Policy): string {
  const [was, is] = [before, after].map(
    ({ Statement }) => new Set(Statement.flatMap(({ Action, Resource = [] }) => [...Action, ...Resource])),
  )
  const added = [...is!].filter((one) => !was!.has(one)).map((one) => `+${one}`)
  const gone = [...was!].filter((one) => !is!.has(one)).map((one) => `-${one}`)
  return [...added, ...gone].join(' ') || 'in another order'
}

/** The config into the bucket, the one before it beside it, and of those five. */
async function planConfig(text: string, bucket: Bucket, there: boolean): Promise<Planned[]> {
  const current = there ? await bucket.get(CONFIG_KEY) : undefined
  const older = there ? (await bucket.list(OLDER)).map(({ key }) => key).sort() : []
  const differs = current !== text
  const [{ modifiedAt } = { modifiedAt: undefined }] =
    current === undefined ? [] : await bucket.list(CONFIG_KEY)
  const copy = differs && modifiedAt ? `${OLDER}rotation-${plainInstant(modifiedAt)}.yaml` : undefined
  const kept = [...new Set([...older, ...(copy ? [copy] : [])])].sort()
  const surplus = kept.slice(0, -OLDER_KEPT)
  if (!differs && surplus.length === 0) return []
  return [
    {
      lines: [
        ...(differs
          ? [
              `${current === undefined ? '+' : '~'} ${CONFIG_KEY} in the bucket${copy ? `; the one before stays as ${copy}` : ''}`,
            ]
          : []),
        ...(surplus.length > 0 ? [`- ${surplus.length} older config: five stay`] : []),
      ],
      apply: async () => {
        if (copy && current !== undefined) await bucket.put(copy, current)
        if (differs) await bucket.put(CONFIG_KEY, text)
        for (const key of surplus) await bucket.delete(key)
      },
    },
  ]
}

const plainInstant = (instant: Date) =>
  instant
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(':', '')

/** For `deploy`: the config and the functions alone; bucket and agency must be there. */
export async function planUpdate(
  installation: Installation,
  session: DeploySession,
  parties: Parties,
): Promise<SetupPlan> {
  const bucket = openBucket(installation.place, session.key)
  const service = serviceOf(installation, topicOf(installation, session).urn, session.projectId)
  const upload = await planConfig(installation.text, bucket, true)
  const functions = await planDeployment(service, await packagesFor(service, installation.files), parties)
  return { service, parts: [...upload, ...functions], byHand: [] }
}

export async function applyAll(parts: readonly Planned[]): Promise<void> {
  for (const { apply } of parts) await apply()
}

export function partiesOf(
  session: DeploySession,
  say: (line: string) => void,
  clock: Clock = systemClock,
): Parties {
  return { functionGraph: session.functionGraph, clock, say }
}
