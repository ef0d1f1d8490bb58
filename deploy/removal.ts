import { openBucket } from './bucket.ts'
import { type Parties, type Planned, remove } from './deployment.ts'
import { type Installation, serviceOf, topicOf } from './installation.ts'
import type { DeploySession } from './session.ts'
import { levelOf, POLICY_PARTS } from './setup.ts'

export interface RemovalPlan {
  parts: Planned[]
  /** What stays, a line each. */
  stays: string[]
  /** The bucket that stays only because nobody typed its name. */
  bucketToName: { name: string; objects: number } | undefined
}

/**
 * Takes the functions away, and with `all` what `setup` made around them. The bucket goes when it is empty, or when its
 * name was typed. Certificates and bindings are not looked at: nothing here has a client for a gateway.
 */
export async function planRemoval(
  installation: Installation,
  session: DeploySession,
  parties: Parties,
  asked: { all: boolean; bucketName?: string | undefined },
): Promise<RemovalPlan> {
  const { functionGraph, topics } = session
  const { name, place } = installation
  const topic = topicOf(installation, session)
  const service = serviceOf(installation, topic.urn, session.projectId)
  const plan: RemovalPlan = { parts: [], stays: [], bucketToName: undefined }
  for (const fn of service.functions) {
    if (!(await functionGraph.show(fn.name))) continue
    plan.parts.push({
      lines: [`- function ${fn.name} with its triggers and versions`],
      apply: async () => void (await remove({ ...service, functions: [fn] }, parties)),
    })
  }
  await planAgencyRemoval(name, session, asked.all, plan)
  if (await topics.exists(topic.urn)) {
    if (asked.all && topic.isOwn)
      plan.parts.push({ lines: [`- topic ${topic.name}`], apply: () => topics.remove(topic.urn) })
    else plan.stays.push(`topic ${topic.name}`)
  }
  await planBucketRemoval(place, session, asked, plan)
  plan.stays.push(
    "what the functions have logged in LTS: log group and stream are FunctionGraph's",
    'every certificate at gateways and SCM, and every binding: domains serve on what they serve now',
  )
  return plan
}

async function planAgencyRemoval(
  name: string,
  { identity }: DeploySession,
  all: boolean,
  { parts, stays }: RemovalPlan,
): Promise<void> {
  const agency = await identity.agency(name)
  const own = new Set(POLICY_PARTS.map((part) => `${name}-${part}`))
  const policies = (await identity.policies()).filter((one) => own.has(one.display_name))
  if (!all) {
    if (agency) stays.push(`agency ${name}`)
    for (const { display_name } of policies) stays.push(`policy ${display_name}`)
    return
  }
  if (agency)
    parts.push({
      lines: [`- agency ${name}`],
      apply: async () => {
        for (const part of POLICY_PARTS)
          for (const id of await identity.granted(levelOf(part), agency))
            if (policies.some((one) => one.id === id && one.display_name === `${name}-${part}`))
              await identity.revoke(levelOf(part), agency, id)
        await identity.deleteAgency(agency)
      },
    })
  for (const policy of policies)
    parts.push({ lines: [`- policy ${policy.display_name}`], apply: () => identity.deletePolicy(policy) })
}

async function planBucketRemoval(
  place: Installation['place'],
  session: DeploySession,
  { all, bucketName }: { all: boolean; bucketName?: string | undefined },
  plan: RemovalPlan,
): Promise<void> {
  const bucket = openBucket(place, session.key)
  if (!(await bucket.exists())) return
  const { bucket: name } = place
  if (!all) {
    plan.stays.push(`bucket ${name} with everything in it`)
    return
  }
  const objects = await bucket.list('')
  if (objects.length > 0 && bucketName !== name) {
    plan.bucketToName = { name, objects: objects.length }
    plan.stays.push(
      `bucket ${name}: it holds ${objects.length} objects, private keys among them, and was not named`,
    )
    return
  }
  plan.parts.push({
    lines: [
      `- bucket ${name}${objects.length > 0 ? ` and the ${objects.length} objects in it` : ', which is empty'}`,
    ],
    apply: async () => {
      for (const { key } of await bucket.list('')) await bucket.delete(key)
      await bucket.remove()
    },
  })
}
