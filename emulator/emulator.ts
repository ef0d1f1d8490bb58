import type { Server } from 'node:http'
import type { AddressInfo, Server as TcpServer } from 'node:net'
import type { Clock } from '../shared/base/clock.ts'
import { Failure } from '../shared/base/failure.ts'
import { administer, bindByHand, findDomain } from './admin.ts'
import { apig } from './apig.ts'
import type { Authority } from './authority.ts'
import { type Call, Calls } from './calls.ts'
import { EmulatorClock } from './clock.ts'
import { dns, dnsZones } from './dns.ts'
import { type DnsAnswers, startDnsAnswers } from './dns-answers.ts'
import type { DnsZones } from './dns-zones.ts'
import { createEdge } from './edge.ts'
import { Faults } from './faults.ts'
import { functionGraphOf, functiongraph } from './functiongraph.ts'
import { iam } from './iam.ts'
import { bucketsOf, obs } from './obs.ts'
import { createAuthorities, plant } from './plant.ts'
import { type EmulatorState, seededIds, stateOf } from './report.ts'
import { roma } from './roma.ts'
import type { Rules } from './rules.ts'
import { scm } from './scm.ts'
import { parseSeed, type SeedInput } from './seed.ts'
import { createControlPlane, type Interceptor } from './server.ts'
import type { Service } from './service.ts'
import { smn } from './smn.ts'
import type { World } from './world.ts'

const HOST = '127.0.0.1'
const SERVICES: Service[] = [iam, apig, roma, scm, smn, dns, functiongraph, obs]

export interface EmulatorOptions {
  /** Checked here; anything that is not a seed fails with `emulator.bad-input`. */
  seed?: SeedInput
  /** Port of the services and the admin routes; 0 (default) takes a free one. */
  port?: number
  /** Port of the TLS edge; 0 (default) takes a free one. */
  tlsPort?: number
  clock?: Clock
  /** Further services; one with the name of a service of the emulator replaces it. */
  services?: Service[]
}

/** The one line that the `emulator` command prints when it is ready; a contract, see README.md. */
export interface ReadyLine {
  ready: true
  url: string
  endpoints: Record<string, string>
  tls: { host: string; port: number }
  /** Its name server, over UDP and TCP: only where zones are seeded. */
  dnsServer?: string
  seed: ReturnType<typeof seededIds>
}

/** The embedded cloud, running. */
export interface Emulator {
  readonly url: string
  readonly tls: { host: string; port: number }
  readonly ready: ReadyLine
  readonly clock: EmulatorClock
  readonly faults: Faults
  /** The seeded root and its intermediate, to issue further certificates that the same clients trust. */
  readonly root: Authority
  readonly intermediate: Authority
  /** The zones that DNS API and name server answer from. */
  readonly zones: DnsZones
  state(): EmulatorState
  calls(): Call[]
  clearCalls(): void
  rules(): Rules
  setRules(patch: Partial<Rules>): void
  /** Tokens that were handed out are refused from now on. */
  expireTokens(): void
  /** What lies in the buckets, to lay many objects there at once. */
  buckets(): ReturnType<typeof bucketsOf>
  /** The runs of deployed functions, and their timers by hand. */
  functions(): ReturnType<typeof functionGraphOf>
  /** Somebody changes a binding by hand; null takes every certificate away. */
  bind(host: string, certificateId: string | null, instanceId?: string): void
  /** Called before and after the effect of every call; awaited. Returns how to stop it. */
  intercept(interceptor: Interceptor): () => void
  /** Starts over, with another seed if given: everything but the ports and the clock. */
  reset(seed?: SeedInput): Promise<void>
  close(): Promise<void>
}

/** Starts the embedded cloud on loopback. Fails with `emulator.bad-input` or `emulator.port`. */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const clock = new EmulatorClock(options.clock)
  let seed = parseSeed(options.seed ?? {})
  const authorities = await createAuthorities()
  let world: World = await plant(seed, clock, authorities)
  const calls = new Calls()
  const faults = new Faults()
  const interceptors = new Set<Interceptor>()
  const further = options.services ?? []
  const replaced = new Set(further.map(({ name }) => name))
  const services = [...SERVICES.filter(({ name }) => !replaced.has(name)), ...further]
  const current = () => world
  const reset = async (next: unknown): Promise<void> => {
    if (next !== undefined) seed = parseSeed(next)
    world = await plant(seed, clock, authorities)
    calls.clear()
    faults.clear()
    await answerDns()
  }
  let nameServer: DnsAnswers | undefined
  const answerDns = async (): Promise<void> => {
    if (seed.dns === undefined || nameServer !== undefined) return
    const { port } = seed.dns
    nameServer = await startDnsAnswers(() => dnsZones(world), port).catch((cause) => {
      throw portFailure(port, cause)
    })
  }
  const control = createControlPlane({
    world: current,
    services,
    calls,
    faults,
    interceptors,
    admin: (method, url, body) => administer({ world: current, calls, faults, reset }, method, url, body),
  })
  const edge = createEdge(current)
  const port = await listen(control, options.port ?? 0)
  const tlsPort = await listen(edge.server, options.tlsPort ?? 0).catch(async (error: unknown) => {
    await closeServer(control)
    throw error
  })
  await answerDns().catch(async (error: unknown) => {
    await Promise.all([closeServer(control), edge.close()])
    throw error
  })
  const url = `http://${HOST}:${port}`
  const tls = { host: HOST, port: tlsPort }
  return {
    url,
    tls,
    get ready(): ReadyLine {
      const endpoints = Object.fromEntries(services.map((service) => [service.name, url]))
      const dnsServer = nameServer && { dnsServer: `${HOST}:${nameServer.port}` }
      return { ready: true, url, endpoints, tls, ...dnsServer, seed: seededIds(world) }
    },
    clock,
    faults,
    root: authorities.root,
    intermediate: authorities.intermediate,
    get zones(): DnsZones {
      return dnsZones(world)
    },
    state: () => stateOf(world),
    buckets: () => bucketsOf(world),
    functions: () => functionGraphOf(world),
    calls: () => calls.list(),
    clearCalls: () => calls.clear(),
    rules: () => world.rules,
    setRules: (patch) => void Object.assign(world.rules, patch),
    expireTokens: () => {
      for (const token of world.tokens.values()) token.expiresAt = clock.now()
    },
    bind: (host, certificateId, instanceId) =>
      bindByHand(world, findDomain(world, host, instanceId), certificateId),
    intercept: (interceptor) => {
      interceptors.add(interceptor)
      return () => void interceptors.delete(interceptor)
    },
    reset: (next) => reset(next),
    close: async () => {
      await Promise.all([closeServer(control), edge.close(), nameServer?.close()])
    },
  }
}

function listen(server: Server | TcpServer, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(portFailure(port, cause))
    })
    server.listen(port, HOST, () => resolve((server.address() as AddressInfo).port))
  })
}

function portFailure(port: number, cause: NodeJS.ErrnoException): Failure {
  return new Failure({
    code: 'emulator.port',
    kind: 'never',
    message: `The emulator cannot listen on ${HOST}:${port} (${cause.code ?? cause.message})`,
    next: 'Choose another port, or 0 for a free one.',
    cause,
  })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
