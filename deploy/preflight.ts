import { Failure } from '../shared/base/failure.ts'
import { endpointsFor } from '../shared/config/endpoints.ts'
import { loadConfig } from '../shared/config/load.ts'
import { CONFIG_KEY } from '../shared/runtime/service.ts'
import { type BucketPlace, openBucket } from './bucket.ts'
import type { DesiredService } from './desired.ts'
import type { DeploySession } from './session.ts'

/** The account that FunctionGraph acts as: whom its agencies trust ("Configuring Agency Permissions"). */
export const FUNCTIONGRAPH = 'op_svc_cff'

/**
 * Refuses what cannot work, before anything is changed: an agency that is not there or does not trust FunctionGraph, a
 * bucket that is not there, a config in it that is missing or wrong, unless it is about to be uploaded. What it may not
 * look at it says, and goes on.
 */
export async function preflight(
  service: DesiredService,
  session: DeploySession,
  say: (line: string) => void,
  { configInPlace }: { configInPlace: boolean },
): Promise<void> {
  const agencies = service.functions.flatMap(({ agency, executionAgency }) => [agency, executionAgency])
  for (const name of new Set(agencies))
    await unlessForbidden(`the agency ${name}`, say, () => requireAgency(name, session))
  const places = new Map(service.functions.map((one) => [JSON.stringify(placeOf(one.environment)), one]))
  for (const { environment, secrets } of places.values()) {
    const place = placeOf(environment)
    const variables: Record<string, string> = { ...environment }
    for (const [name, secret] of Object.entries(secrets)) variables[name] = secret.reveal()
    if (place)
      await unlessForbidden(`the bucket ${place.bucket} and its ${CONFIG_KEY}`, say, () =>
        requireBucket(place, session, configInPlace ? variables : undefined),
      )
  }
}

async function requireAgency(name: string, { identity }: DeploySession): Promise<void> {
  if (name === '')
    throw new Failure({
      code: 'deploy.no-agency',
      kind: 'never',
      message: 'The functions have no agency, so nothing would let them act',
      next: 'Name one: provider.agency in serverless.yml; "cert-rotation setup" makes one.',
    })
  const found = await identity.agency(name)
  if (!found)
    throw new Failure({
      code: 'deploy.no-agency',
      kind: 'never',
      message: `There is no agency ${name} in this account`,
      next: 'Run "cert-rotation setup", which makes it, or create it and correct its name.',
    })
  if (found.trust_domain_name !== FUNCTIONGRAPH) throw trustsAnother(name, found.trust_domain_name)
}

/** An agency cannot be given to another trustee without those who use it. */
export function trustsAnother(name: string, trustee: string): Failure {
  return new Failure({
    code: 'deploy.agency-trust',
    kind: 'never',
    message: `The agency ${name} trusts ${trustee || 'nobody'} and not FunctionGraph (${FUNCTIONGRAPH})`,
    next: 'Name another agency; one for FunctionGraph has the type "cloud service" in the console.',
  })
}

async function requireBucket(
  place: BucketPlace,
  session: DeploySession,
  environment: Record<string, string> | undefined,
): Promise<void> {
  const bucket = openBucket(place, session.key)
  if (!(await bucket.exists()))
    throw new Failure({
      code: 'deploy.no-bucket',
      kind: 'never',
      message: `There is no bucket ${place.bucket} in ${place.region}`,
      next: 'Run "cert-rotation setup", which makes it, or create it in that region.',
    })
  if (!environment) return
  const text = await bucket.get(CONFIG_KEY)
  if (text === undefined)
    throw new Failure({
      code: 'deploy.no-config',
      kind: 'never',
      message: `There is no ${CONFIG_KEY} in the bucket ${place.bucket}`,
      next: `Run "cert-rotation setup", or upload rotation.yaml as ${CONFIG_KEY}.`,
    })
  loadConfig(text, { file: `${place.bucket}/${CONFIG_KEY}`, environment, inFunction: true })
}

/** Where the functions look for their config; undefined: they bring it in their user data. */
function placeOf(environment: Record<string, string>): BucketPlace | undefined {
  const { CONFIG_BUCKET: bucket, REGION: region, OBS_ENDPOINT, OBS_PATH_STYLE, ROTATION_CONFIG } = environment
  if (ROTATION_CONFIG || !bucket || !region) return undefined
  const endpoint = OBS_ENDPOINT || endpointsFor(region).obs
  return { bucket, region, endpoint, pathStyle: OBS_PATH_STYLE === 'true' }
}

async function unlessForbidden(
  what: string,
  say: (line: string) => void,
  look: () => Promise<void>,
): Promise<void> {
  try {
    await look()
  } catch (thrown) {
    if (!(thrown instanceof Failure) || thrown.facts.status !== 403) throw thrown
    say(`! ${what}: not looked at. ${thrown.next}`)
  }
}
