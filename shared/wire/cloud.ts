import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { deliveredDigest } from '../acme/state.ts'
import { type Clock, second } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { digestOf } from '../base/names.ts'
import { readTrust, rootsFromPem, type Trust } from '../certificate/trust.ts'
import { configDigest } from '../config/digest.ts'
import { type Endpoints, endpointsFor } from '../config/endpoints.ts'
import { type CertificateConfig, type Config, FINGERPRINT, type GatewayConfig } from '../config/schema.ts'
import { flavours } from '../gateway/flavours.ts'
import { createGateway } from '../gateway/http.ts'
import { type GatewayInstance, listInstances } from '../gateway/instances.ts'
import type { Flavour, Gateway } from '../gateway/port.ts'
import {
  accessKeyCredentials,
  agencyCredentials,
  type Credentials,
  findProjectId,
  passwordCredentials,
  tokenCredentials,
} from '../http/auth.ts'
import { createDispatcher, createHttpClient, type HttpClient } from '../http/client.ts'
import type { ServiceName } from '../http/services.ts'
import type { AccessKey } from '../http/sign.ts'
import type { Manager } from '../manager/port.ts'
import { createManager } from '../manager/scm.ts'
import type { Channels } from '../notify/channels.ts'
import { createProbe } from '../probe/tls.ts'
import { createWorkerReader } from '../reader/in-worker.ts'
import type { BundleReader } from '../reader/port.ts'
import type { ClientCaSetting } from '../rotation/intake/client-ca.ts'
import type { Deadline, Job, LeaseAnswer, Parties } from '../rotation/parties.ts'
import { gatewayKey } from '../rotation/plan/look.ts'
import type { ProgressEvent } from '../rotation/progress.ts'
import { createBucketStore } from '../store/bucket.ts'
import { createDirectoryStore } from '../store/directory.ts'
import { acquireLease } from '../store/lease.ts'
import type { Store } from '../store/port.ts'
import { withPrefix } from '../store/prefixed.ts'
import type { Installation } from '../watch/notice.ts'

export interface WiringOptions {
  config: Config
  /** Relative paths in the config start here. */
  folder: string
  clock: Clock
  random: () => number
  log: Log
  /** Who holds leases: printed to whoever waits for them. */
  owner: string
  /** The agency's temporary key, where there is one. */
  agency?: () => AccessKey | undefined
  /** Where the console channel of the alerts writes. */
  write?: (text: string) => void
  /** Reads uploads in place of a thread of its own: for tests, which read thousands. */
  reader?: BundleReader
}

/** The outside, opened once and used for any number of runs. */
export interface Wiring {
  config: Config
  /** In whose name people are told. */
  installation: Installation
  /** Relative paths in the config start here. */
  folder: string
  store: Store
  /** Certificates' names in the order of the config. */
  names: string[]
  job(name: string, asked: boolean): Promise<Job>
  parties(run: { deadline: Deadline; progress?: (event: ProgressEvent) => void; log?: Log }): Parties
  /** A client for another service of the same cloud. Fails with `config.no-cloud` or `config.no-endpoint`. */
  http(service: ServiceName): HttpClient
  /** Who is told, as configured; loaded when somebody may be told. */
  channels(): Promise<Channels>
  /** Tells the monitor that all was looked at and told; undefined where none is configured. Fails with `notify.*`. */
  heartbeat: ((signal: AbortSignal) => Promise<void>) | undefined
  /** Another bucket with the store's credentials and endpoint (HTTP-01); a directory store keeps it as a folder. */
  openBucket(bucket: string): Store
  endpoints: Endpoints | undefined
  /** How requests to the cloud prove themselves, for messages; undefined without a cloud section. */
  credentials: string | undefined
  /** Of the cloud, where it is configured or something needs it. */
  projectId: string | undefined
  /** Every gateway of this product in the project, configured or not; none where the region does not offer it. */
  instances(flavour: Flavour, signal?: AbortSignal): Promise<GatewayInstance[]>
  close(): Promise<void>
}

/** Long enough for a slow store, short enough that whoever comes after a crash does not wait long. */
const LEASE_TTL_MS = 20 * second
const LEASE_MARGIN_MS = 5 * second
/** Longer than scp and editors pause between two writes; `store.settle` for slower writers. */
const SETTLE_MS = 2 * second
const PROBE_TIMEOUT_MS = 4 * second

export function openStore(
  options: Pick<WiringOptions, 'config' | 'folder' | 'clock' | 'random' | 'agency'>,
): Store {
  const { store, cloud, requestTimeout } = options.config
  if (store.directory !== undefined)
    return createDirectoryStore(resolve(options.folder, store.directory), {
      clock: options.clock,
      settleMs: store.settle ?? SETTLE_MS,
      // A hook's plain `cp` finds its folder again, however often it was emptied.
      keeps: (folder) => /^incoming(\/[^/]+)?$/.test(folder),
    })
  const region = store.region ?? cloud?.region ?? 'us-east-1'
  return createBucketStore({
    bucket: store.bucket!,
    endpoint: store.endpoint ?? endpointsFor(region).obs,
    region,
    pathStyle: store.pathStyle,
    encryption: store.encryption,
    requestTimeoutMs: requestTimeout,
    clock: options.clock,
    random: options.random,
    credentials: () => {
      const key = store.accessKey ?? cloud?.auth?.accessKey ?? options.agency?.()
      if (key) return key
      throw new Failure({
        code: 'store.no-credentials',
        kind: 'never',
        message: `There are no credentials for the bucket ${store.bucket}`,
        next: 'Set store.accessKey or cloud.auth.accessKey, or give the function an agency.',
      })
    },
  })
}

export async function openWiring(options: WiringOptions): Promise<Wiring> {
  const { config, clock, random, log } = options
  const store = openStore(options)
  const reader = options.reader ?? createWorkerReader({ log })
  const dispatcher = createDispatcher({ connections: Math.max(16, config.concurrency * 2) })
  const cloud = config.cloud && openCloud(config.cloud, options, dispatcher)
  const gateways = new Map<string, Gateway>()
  const roots = new Map<string, Promise<Trust>>()
  const certificates = config.certificates
  // Look-ups of the project belong to the first use, but a gateway is wanted at once: resolve it before any run.
  const projectId = await cloud?.projectId(needsProject(config))

  const gatewayFor = (gateway: GatewayConfig): Gateway => {
    const key = `${gateway.flavour} ${gateway.instanceId} ${gateway.scope}`
    const known = gateways.get(key)
    if (known) return known
    const created = createGateway({
      flavour: gateway.flavour,
      instanceId: gateway.instanceId,
      scope: gateway.scope,
      projectId: projectId!,
      http: cloud!.http(flavours[gateway.flavour].service),
      log,
    })
    gateways.set(key, created)
    return created
  }
  const http = (service: ServiceName): HttpClient => {
    if (cloud) return cloud.http(service)
    throw new Failure({
      code: 'config.no-cloud',
      kind: 'never',
      message: `${service} is needed, but rotation.yaml has no cloud section`,
      next: 'Add cloud: with region, projectId and auth.',
    })
  }
  let manager: Manager | undefined
  const managerOrNone = () => {
    if (!cloud?.endpoints.scm) return undefined
    manager ??= createManager({ http: cloud.http('scm') })
    return manager
  }

  return {
    config,
    installation: installationOf(config, store),
    store,
    names: Object.keys(certificates),
    endpoints: cloud?.endpoints,
    credentials: cloud?.credentials,
    projectId,
    folder: options.folder,
    async instances(flavour, signal) {
      const { service } = flavours[flavour]
      if (!cloud?.endpoints[service]) return []
      return listInstances(cloud.http(service), flavour, projectId!, signal)
    },
    async channels() {
      const { createChannels } = await import('../notify/channels.ts')
      const smn = () => ({ http: http('smn'), projectId: projectId! })
      const write = options.write ?? (() => {})
      return createChannels(config.alerts, { clock, timeoutMs: config.requestTimeout, smn, write })
    },
    heartbeat:
      config.heartbeat &&
      (async (signal) => {
        const { sendHeartbeat } = await import('../notify/heartbeat.ts')
        await sendHeartbeat({ ...config.heartbeat!, timeoutMs: config.requestTimeout }, signal)
      }),
    openBucket: (bucket) =>
      config.store.directory === undefined
        ? openStore({ ...options, config: { ...config, store: { ...config.store, bucket } } })
        : withPrefix(store, `${bucket}/`),
    http,
    async job(name, asked) {
      const certificate = certificates[name] as CertificateConfig
      const key = JSON.stringify(certificate.trust)
      const trust = roots.get(key) ?? trustOf(certificate, options.folder)
      roots.set(key, trust)
      return {
        name,
        config: certificate,
        configDigest: configDigest(certificate),
        listedElsewhere: listedElsewhere(name, certificates),
        clientCa: await clientCaOf(certificate, options.folder),
        ...(certificate.renew ? { delivered: () => deliveredDigest(store, name) } : {}),
        trust: await trust,
        concurrency: config.concurrency,
        servedWithinMs: config.servedWithin,
        requestTimeoutMs: config.requestTimeout,
        asked,
      }
    },
    parties({ deadline, progress, log: runLog }) {
      return {
        clock,
        random,
        log: runLog ?? log,
        store,
        reader,
        gatewayFor,
        manager: managerOrNone(),
        probe: createProbe({ timeoutMs: PROBE_TIMEOUT_MS }),
        deadline,
        progress: progress ?? (() => {}),
        lease: (name, waitMs) => takeLease(name, store, options, deadline, runLog ?? log, waitMs),
      }
    },
    async close() {
      await dispatcher.close()
      await reader.close()
    },
  }
}

/** Where nobody has named it, its store tells it from others. */
function installationOf({ name }: Config, store: Store): Installation {
  return name === undefined ? { scope: digestOf(store.description).slice(0, 8) } : { name, scope: name }
}

function listedElsewhere(name: string, certificates: Config['certificates']): Job['listedElsewhere'] {
  const own = new Set(certificates[name]!.gateways.map(gatewayKey))
  return Object.entries(certificates).flatMap(([certificate, { gateways }]) =>
    certificate === name
      ? []
      : gateways
          .filter((gateway) => own.has(gatewayKey(gateway)))
          .flatMap((gateway) =>
            gateway.domains.map((domain) => ({ certificate, gateway: gatewayKey(gateway), domain })),
          ),
  )
}

/** Gateways and topics have the project in their paths. */
function needsProject(config: Config): boolean {
  if (config.discover) return true
  const { channels, owners, escalation } = config.alerts
  const everyChannel = [...channels, ...Object.values(owners).flat(), ...(escalation?.channels ?? [])]
  return (
    Object.values(config.certificates).some((one) => one.gateways.length > 0) ||
    everyChannel.some((channel) => 'smn' in channel)
  )
}

/** The lease as every run takes it: its length, its margin, and how long a dead holder is waited for. */
export async function takeLease(
  name: string,
  store: Store,
  options: Pick<WiringOptions, 'clock' | 'random' | 'owner'>,
  deadline: Deadline,
  log: Log,
  waitMs = LEASE_TTL_MS + LEASE_MARGIN_MS,
): Promise<LeaseAnswer> {
  const { clock } = options
  const lease = await acquireLease(store, name, {
    clock,
    random: options.random,
    owner: options.owner,
    ttlMs: LEASE_TTL_MS,
    marginMs: LEASE_MARGIN_MS,
    // Whoever died a moment ago is waited for; in a function only as long as something useful is left.
    waitMs: Math.min(waitMs, LEASE_TTL_MS + LEASE_MARGIN_MS, deadline.remainingMs() / 3),
    signal: deadline.signal,
    log,
  })
  if ('heldBy' in lease) return { held: false, ...lease }
  return {
    held: true,
    lease: {
      signal: lease.signal,
      remainingMs: () => Math.max(0, lease.until.getTime() - LEASE_MARGIN_MS - clock.now().getTime()),
      // Nothing is begun within the margin, but an attach whose detach is done may still use half of it.
      held: () => lease.held() || lease.mayFinish(),
      release: () => lease.release(),
      denied: () => lease.denied,
    },
  }
}

async function trustOf(certificate: CertificateConfig, folder: string): Promise<Trust> {
  const { trust } = certificate
  if (typeof trust === 'string') return readTrust(trust)
  return readTrust({ private: await readPem('trust.private', trust.private, folder) })
}

async function clientCaOf(
  { clientCa }: CertificateConfig,
  folder: string,
): Promise<ClientCaSetting | undefined> {
  if (clientCa === undefined) return undefined
  if (clientCa === false) return 'none'
  if (typeof clientCa !== 'string' || FINGERPRINT.test(clientCa)) {
    const plain = (one: string) =>
      one
        .replace(/^sha256:/i, '')
        .replaceAll(':', '')
        .toLowerCase()
    return { fingerprints: [clientCa].flat().map(plain) }
  }
  const certificates = rootsFromPem(new TextDecoder().decode(await readPem('clientCa', clientCa, folder)))
  if (certificates.length > 0) return { certificates }
  throw new Failure({
    code: 'config.unreadable-file',
    kind: 'never',
    message: `clientCa names ${clientCa}, which holds no certificate in PEM that can be read`,
    next: 'Put the CERTIFICATE blocks of the CA into that file, or write its SHA-256 fingerprint.',
  })
}

async function readPem(field: string, file: string, folder: string): Promise<Uint8Array> {
  try {
    return await readFile(resolve(folder, file))
  } catch (cause) {
    throw new Failure({
      code: 'config.unreadable-file',
      kind: 'never',
      message: `${field} names ${file}, which cannot be read`,
      next: 'Put the PEM file there; the path is relative to rotation.yaml.',
      cause,
    })
  }
}

interface Cloud {
  endpoints: Endpoints
  credentials: string
  http(service: ServiceName): HttpClient
  projectId(needed: boolean): Promise<string | undefined>
}

function openCloud(
  cloud: NonNullable<Config['cloud']>,
  options: WiringOptions,
  dispatcher: ReturnType<typeof createDispatcher>,
): Cloud {
  const { clock, random, log, config } = options
  const endpoints = endpointsFor(cloud.region, cloud.endpoints)
  const timeoutMs = config.requestTimeout
  const credentials = credentialsOf(cloud, endpoints, options, dispatcher)
  const clients = new Map<ServiceName, HttpClient>()
  let projectId = cloud.projectId
  const http = (service: ServiceName): HttpClient => {
    const known = clients.get(service)
    if (known) return known
    const endpoint = endpoints[service]
    if (!endpoint)
      throw new Failure({
        code: 'config.no-endpoint',
        kind: 'never',
        message: `${service} is not offered in ${cloud.region}`,
        next: `Take what needs it out of rotation.yaml, or set cloud.endpoints.${service}.`,
      })
    const client = createHttpClient({
      service,
      endpoint,
      credentials,
      clock,
      timeoutMs,
      dispatcher,
      random,
      log,
      // SCM has no project in its paths and signs without one.
      ...(projectId === undefined || service === 'scm' || service === 'iam' ? {} : { projectId }),
    })
    clients.set(service, client)
    return client
  }
  return {
    endpoints,
    credentials: credentials.description,
    http,
    async projectId(needed) {
      if (projectId === undefined && needed) projectId = await findProjectId(http('iam'), cloud.region)
      return projectId
    },
  }
}

function credentialsOf(
  cloud: NonNullable<Config['cloud']>,
  endpoints: Endpoints,
  options: WiringOptions,
  dispatcher: ReturnType<typeof createDispatcher>,
): Credentials {
  const { clock, random, log, config } = options
  const { accessKey, password, token } = cloud.auth ?? {}
  if (accessKey) return accessKeyCredentials(withoutUndefined(accessKey), clock)
  if (token) return tokenCredentials(token)
  if (password)
    return passwordCredentials({
      endpoint: endpoints.iam,
      ...password,
      project: cloud.projectId === undefined ? { name: cloud.region } : { id: cloud.projectId },
      clock,
      timeoutMs: config.requestTimeout,
      dispatcher,
      log,
      random,
    })
  return agencyCredentials(() => options.agency?.(), clock)
}

function withoutUndefined(key: {
  id: string
  secret: AccessKey['secret']
  securityToken?: AccessKey['secret'] | undefined
}): AccessKey {
  const { securityToken, ...pair } = key
  return securityToken ? { ...pair, securityToken } : pair
}
