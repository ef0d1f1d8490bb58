import { readFile } from 'node:fs/promises'
import { isAbsolute, normalize, relative, resolve } from 'node:path'
import { Failure } from '../shared/base/failure.ts'
import { Secret } from '../shared/base/secret.ts'
import { type Endpoints, endpointsFor } from '../shared/config/endpoints.ts'
import { configForFunction } from '../shared/config/for-function.ts'
import { loadConfig } from '../shared/config/load.ts'
import { type Config, FINGERPRINT } from '../shared/config/schema.ts'
import type { BucketPlace } from './bucket.ts'
import { type DesiredService, readService } from './desired.ts'
import { readServiceFile } from './service-file.ts'
import type { DeploySession, Environment } from './session.ts'
import type { PackedFile } from './zip.ts'

export interface InstallationOptions {
  /** Path of rotation.yaml, for messages. */
  file: string
  /** Folder from which its relative paths start. */
  folder: string
  environment: Environment
  /** In place of the store that the config has. */
  bucket?: string | undefined
  /** Tells installations of one account apart: part of every name. */
  stage: string
  /** How often the timer fires: `30m`. */
  schedule?: string | undefined
}

/** What a config makes of an account: everything that `setup` needs to know before it looks there. */
export interface Installation {
  config: Config
  /** What lies in the bucket as config/rotation.yaml. */
  text: string
  place: BucketPlace
  region: string
  endpoints: Endpoints
  /** Of the agency, the topic and, with a suffix, the policies. */
  name: string
  /** Files that the config names, for the packages: at the same paths. */
  files: PackedFile[]
  secrets: Record<string, Secret>
  options: InstallationOptions
}

/**
 * Reads rotation.yaml as the functions will: without the credentials of this machine, `${NAME}` from the environment,
 * files beside it. Fails with the loader's `config.*`, `config.no-cloud`, `config.no-bucket`, `config.bucket-region`,
 * `config.missing-file`.
 */
export async function readInstallation(text: string, options: InstallationOptions): Promise<Installation> {
  const { file, environment, bucket, stage } = options
  const own = configForFunction(text, bucket)
  const config = loadConfig(own.text, { file, environment, inFunction: true })
  const { cloud, store } = config
  if (!cloud) throw wrong('no-cloud', `${file} has no cloud`, 'Add cloud: { region: … }.')
  if (store.bucket === undefined)
    throw wrong(
      'no-bucket',
      `${file} keeps everything in a folder of this machine, which no function can reach`,
      'Name a bucket with --bucket NAME; it is made where it is not there. The folder stays as it is.',
    )
  const region = store.region ?? cloud.region
  if (region !== cloud.region)
    throw wrong(
      'bucket-region',
      `The bucket is to lie in ${region} and the functions in ${cloud.region}: an upload there starts nothing here`,
      'Correct store.region or cloud.region: both must be the same.',
    )
  const endpoints = endpointsFor(cloud.region, cloud.endpoints)
  return {
    config,
    text: own.text,
    place: {
      bucket: store.bucket,
      region,
      endpoint: store.endpoint ?? endpoints.obs,
      pathStyle: store.pathStyle,
    },
    region,
    endpoints,
    name: `cert-rotation-${stage}`,
    files: await filesOf(config, options),
    // The loader has seen that all are there.
    secrets: Object.fromEntries(own.names.map((name) => [name, new Secret(environment[name]!)])),
    options,
  }
}

/** The functions as serverless.yml has them, with everything that the installation knows. */
export function serviceOf(
  installation: Installation,
  failureTopic: string,
  projectId: string,
): DesiredService {
  const { place, name, region, config, secrets, options, endpoints } = installation
  const file = readServiceFile(options.stage, {
    region,
    bucket: place.bucket,
    agency: name,
    projectId,
    failureTopic,
    obsEndpoint: config.store.endpoint ?? '',
    obsPathStyle: place.pathStyle ? 'true' : '',
    ...(options.schedule ? { schedule: options.schedule } : {}),
  })
  const revealed = Object.fromEntries(Object.entries(secrets).map(([key, secret]) => [key, secret.reveal()]))
  const { iam, functiongraph } = endpoints
  return readService({
    ...file,
    provider: { ...file.provider, secrets: revealed, endpoints: { iam, functiongraph } },
  })
}

/** What `openSession` has to know of it. */
export function accessOf({ region, config, endpoints }: Installation) {
  const { iam, functiongraph, smn } = endpoints
  return {
    region,
    projectId: config.cloud!.projectId,
    endpoints: { iam, smn, ...(functiongraph ? { functiongraph } : {}) },
  }
}

/** The topic that hears of failures: the one that the alerts go to, else one of its own. */
export function topicOf({ config, name }: Installation, { topics }: DeploySession) {
  const own = topics.urn(name)
  const { channels, escalation } = config.alerts
  const named = [...channels, ...(escalation?.channels ?? [])].flatMap((one) =>
    'smn' in one ? [one.smn] : [],
  )
  const here = named.find((urn) => urn.startsWith(topics.urn('')))
  return {
    urn: here ?? own,
    name: (here ?? own).split(':').at(-1)!,
    isOwn: here === undefined || here === own,
  }
}

/** Trusted roots, the CA for clients, the root of a private ACME server: read beside the config, wherever it runs. */
async function filesOf(config: Config, { folder, file }: InstallationOptions): Promise<PackedFile[]> {
  const named = Object.values(config.certificates).flatMap(({ trust, clientCa, renew }) => [
    ...(typeof trust === 'object' ? [trust.private] : []),
    ...(typeof clientCa === 'string' && !FINGERPRINT.test(clientCa) ? [clientCa] : []),
    ...(renew ? [renew.acme].flat().flatMap(({ ca }) => ca ?? []) : []),
  ])
  const files: PackedFile[] = []
  for (const name of [...new Set(named)].sort()) {
    const inside = normalize(relative(folder, resolve(folder, name)))
    if (isAbsolute(name) || inside.startsWith('..'))
      throw wrong(
        'missing-file',
        `${file} names ${name}, which does not lie in its folder and so cannot go into the functions' packages`,
        'Copy it beside the config and name it by its relative path.',
      )
    const bytes = await readFile(resolve(folder, name)).catch((cause) => {
      throw wrong('missing-file', `${file} names ${name}, which cannot be read`, 'Correct its path.', cause)
    })
    files.push({ name: inside, bytes })
  }
  return files
}

function wrong(code: string, message: string, next: string, cause?: unknown): Failure {
  return new Failure({ code: `config.${code}`, kind: 'never', message, next, cause })
}
