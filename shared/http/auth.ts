import type { Clock } from '../base/clock.ts'
import { minute } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import type { Secret } from '../base/secret.ts'
import type { Connections, HttpClient } from './client.ts'
import { createHttpClient } from './client.ts'
import type { Credentials, OutgoingRequest } from './credentials.ts'
import { noCredentials } from './credentials.ts'
import { recoded } from './failures.ts'
import type { AccessKey } from './sign.ts'
import { sign } from './sign.ts'

export type { Credentials, OutgoingRequest } from './credentials.ts'
export { noCredentials } from './credentials.ts'
export type { AccessKey } from './sign.ts'

/** A ready `X-Auth-Token`: used as it is, there is nothing to renew it with. */
export function tokenCredentials(token: Secret): Credentials {
  return {
    description: 'cloud.auth.token',
    headersFor: async () => ({ 'X-Auth-Token': token.reveal() }),
  }
}

/** Signed requests with a key from the config. */
export function accessKeyCredentials(key: AccessKey, clock: Clock): Credentials {
  return {
    description: `cloud.auth.accessKey (${key.id})`,
    headersFor: async (request) => signed(request, key, clock),
  }
}

/**
 * Temporary keys of the function's agency. They are asked for at every request, because the platform renews
 * them under a running instance and an old copy would end in a 401. An absent agency gives empty strings.
 * Fails with `iam.no-agency`.
 */
export function agencyCredentials(
  current: () => AccessKey | undefined | Promise<AccessKey | undefined>,
  clock: Clock,
): Credentials {
  return {
    description: 'cloud.auth.agency (the execution agency of the function)',
    headersFor: async (request) => {
      const key = await current()
      if (key === undefined || key.id === '' || key.secret.reveal() === '') {
        throw new Failure({
          code: 'iam.no-agency',
          kind: 'later',
          message: 'The function has no execution agency, so the platform gives it no credentials',
          next: 'Give the function an agency that trusts FunctionGraph, or set another way under cloud.auth.',
        })
      }
      const { securityToken, ...pair } = key
      const empty = securityToken === undefined || securityToken.reveal() === ''
      return signed(request, empty ? pair : key, clock)
    },
    // The getter is the renewal; a signature that was rejected while the platform changed keys deserves one more.
    refresh: () => true,
  }
}

export interface PasswordOptions {
  /** IAM's address. */
  endpoint: string | URL
  /** Account (domain) name. */
  domain: string
  user: string
  password: Secret
  /** The token's scope: a project by id, or by its name, which for the main project is the region. */
  project: { id: string } | { name: string }
  clock: Clock
  timeoutMs: number
  dispatcher: Connections
  log?: Log
  random?: () => number
}

interface Token {
  value: string
  expiresAt: number
  /** From here on a new one is fetched. */
  renewAt: number
}

/** A token is renewed this long before it ends, or at three quarters of its life where that is shorter. */
const RENEWAL_MARGIN_MS = 10 * minute

/**
 * IAM token by password: `POST /v3/auth/tokens?nocatalog=1`, the token arrives in `X-Subject-Token` ("Obtaining a
 * User Token", IAM API). One request at a time however many callers wait. Fails with `iam.*`.
 */
export function passwordCredentials(options: PasswordOptions): Credentials {
  const description = `cloud.auth.password (user ${options.user}, domain ${options.domain})`
  const http = createHttpClient({
    service: 'iam',
    endpoint: options.endpoint,
    credentials: { ...noCredentials, description },
    clock: options.clock,
    timeoutMs: options.timeoutMs,
    dispatcher: options.dispatcher,
    ...(options.log === undefined ? {} : { log: options.log }),
    ...(options.random === undefined ? {} : { random: options.random }),
  })
  let token: Token | undefined
  let fetching: Promise<Token> | undefined

  async function fetchToken(): Promise<Token> {
    const begun = options.clock.now().getTime()
    const reply = await http.request({
      operation: `get a token for user ${options.user}`,
      method: 'POST',
      path: '/v3/auth/tokens',
      query: { nocatalog: '1' },
      headers: { 'Content-Type': 'application/json;charset=utf8' },
      body: {
        auth: {
          identity: {
            methods: ['password'],
            password: {
              user: {
                name: options.user,
                password: options.password.reveal(),
                domain: { name: options.domain },
              },
            },
          },
          scope: { project: options.project },
        },
      },
      secrets: [options.password],
      expect: [201],
      // A second token harms nobody.
      idempotent: true,
    })
    const value = reply.headers['x-subject-token']
    if (typeof value !== 'string' || value === '') throw reply.broken('it has no X-Subject-Token header')
    const ends = expiryOf(reply.body)
    if (ends === undefined) throw reply.broken('token.expires_at is not an instant')
    const life = Math.max(0, ends - begun)
    return { value, expiresAt: ends, renewAt: ends - Math.min(RENEWAL_MARGIN_MS, life / 4) }
  }

  /** The fetch is nobody's own: a caller that gives up must not take it away from the others. */
  function renew(): Promise<Token> {
    fetching ??= fetchToken()
      .then((fresh) => {
        token = fresh
        return fresh
      })
      .finally(() => {
        fetching = undefined
      })
    return fetching
  }

  async function currentToken(signal: AbortSignal | undefined): Promise<Token> {
    const now = options.clock.now().getTime()
    if (token !== undefined && now < token.renewAt) return token
    const old = token
    try {
      return await orAbort(renew(), signal)
    } catch (thrown) {
      // IAM being down is no reason to stop while the old token still works.
      if (
        old !== undefined &&
        token === old &&
        options.clock.now().getTime() < old.expiresAt &&
        !signal?.aborted
      ) {
        return old
      }
      throw explained(thrown)
    }
  }

  return {
    description,
    headersFor: async (_request, signal) => ({ 'X-Auth-Token': (await currentToken(signal)).value }),
    refresh(rejected) {
      // Of many callers with the same dead token only the first one throws it away.
      if (token?.value === rejected['X-Auth-Token']) token = undefined
      return true
    },
  }
}

/**
 * The id of the region's main project: `GET /v3/projects?name={region}` at IAM. Fails with `iam.no-project` where
 * the credentials see none of that name.
 */
export async function findProjectId(http: HttpClient, region: string, signal?: AbortSignal): Promise<string> {
  const reply = await http.request({
    operation: `look up the project of region ${region}`,
    method: 'GET',
    path: '/v3/projects',
    query: { name: region },
    permission: 'iam:projects:listProjects',
    ...(signal === undefined ? {} : { signal }),
  })
  const projects = (reply.body as { projects?: unknown } | undefined)?.projects
  if (!Array.isArray(projects)) throw reply.broken('projects is not a list')
  const found = projects.find(
    (project: { name?: unknown; id?: unknown } | null) =>
      project?.name === region && typeof project.id === 'string' && project.id !== '',
  ) as { id: string } | undefined
  if (found !== undefined) return found.id
  throw new Failure({
    code: 'iam.no-project',
    kind: 'never',
    message: `IAM (${http.endpoint.host}) shows these credentials no project named ${region}`,
    next: 'Set cloud.projectId in rotation.yaml, or correct cloud.region.',
    facts: { region, projects: projects.length },
  })
}

function signed(request: OutgoingRequest, key: AccessKey, clock: Clock): Record<string, string> {
  const identity: Record<string, string> = {
    ...(request.projectId === undefined ? {} : { 'X-Project-Id': request.projectId }),
    ...(request.domainId === undefined ? {} : { 'X-Domain-Id': request.domainId }),
  }
  const headers = { ...request.headers, ...identity }
  return { ...identity, ...sign({ ...request, headers }, key, clock.now()) }
}

function expiryOf(body: unknown): number | undefined {
  const text = (body as { token?: { expires_at?: unknown } } | undefined)?.token?.expires_at
  const at = typeof text === 'string' ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? undefined : at
}

function explained(thrown: unknown): unknown {
  if (!(thrown instanceof Failure) || thrown.code !== 'iam.unauthorized') return thrown
  return recoded(thrown, {
    next: 'Check domain, user and password under cloud.auth.password in rotation.yaml; the user needs programmatic access.',
  })
}

function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise<T>((resolve, reject) => {
    const stop = () =>
      reject(
        new Failure({
          code: 'iam.aborted',
          kind: 'later',
          message: 'Stopped while waiting for a token of IAM',
          next: 'The time of this invocation was over or somebody stopped it: the next run goes on here.',
        }),
      )
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
