import { generateKeyPairSync } from 'node:crypto'
import { inspect } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import { createGateway } from '../../shared/gateway/http.ts'
import type { Credentials } from '../../shared/http/auth.ts'
import { accessKeyCredentials, passwordCredentials, tokenCredentials } from '../../shared/http/auth.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import { printable } from '../../shared/http/redact.ts'
import { createManager } from '../../shared/manager/scm.ts'
import type { Recorded, Seen } from './loopback.ts'
import { collectingLog, startLoopback, steppingClock } from './loopback.ts'

const dispatcher = createDispatcher()
afterAll(() => dispatcher.destroy())

const privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()
const keyLine = privateKey.split('\n')[1] ?? ''
const secrets = {
  password: 'correct horse',
  token: 'tok~en.short',
  secretKey: 'secret-key-of-the-access-key',
  securityToken: 'sts+token/short',
  subjectToken: 'issued~token',
}
const clock = steppingClock()

/** Quotes everything it was sent, in every field that is ever read. */
function echo(status: number): (seen: Seen) => Recorded {
  return (seen): Recorded => {
    if (seen.path === '/v3/auth/tokens' && status !== 401) {
      return {
        status: 201,
        headers: { 'x-subject-token': secrets.subjectToken },
        body: { token: { expires_at: '2030-01-01T00:00:00Z' } },
      }
    }
    const body = JSON.stringify(seen.body ?? null)
    const all = `${JSON.stringify(seen.headers)} ${body} ${String((seen.body as { private_key?: string } | undefined)?.private_key)}`
    return {
      status,
      headers: { 'x-request-id': all.replace(/[^\x20-\x7e]/g, ' ') },
      body: { error_code: all, error_msg: all, request_id: all, error: { code: all, message: all } },
    }
  }
}

const faults: [string, (seen: Seen) => Recorded][] = [
  ...[200, 302, 400, 401, 403, 404, 409, 429, 500].map((status): [string, (seen: Seen) => Recorded] => [
    `an echoing ${status}`,
    echo(status),
  ]),
  [
    'a body that is not JSON',
    (seen) => ({
      status: 200,
      body: `<pre>${JSON.stringify(seen.body)}${JSON.stringify(seen.headers)}</pre>`,
    }),
  ],
  [
    'an error page that is not JSON',
    (seen) => ({ status: 500, body: `<pre>${JSON.stringify(seen.body)}</pre>` }),
  ],
  ['a broken connection', () => ({ status: 200, drop: true })],
  ['no answer', () => ({ status: 200, hang: true })],
]

function everyWayToPrint(thrown: unknown): string {
  const ways = [String(thrown), inspect(thrown, { depth: 12, showHidden: true }), JSON.stringify(thrown)]
  if (thrown instanceof Error)
    ways.push(thrown.message, String(thrown.stack), inspect(thrown.cause, { depth: 12, showHidden: true }))
  if (thrown instanceof Failure) ways.push(JSON.stringify(thrown.facts), thrown.next)
  return ways.join('\n')
}

describe('a secret never shows', () => {
  const sources: [string, (iam: string) => Credentials][] = [
    [
      'password',
      (iam) =>
        passwordCredentials({
          endpoint: iam,
          domain: 'd',
          user: 'u',
          password: new Secret(secrets.password),
          project: { id: 'p' },
          clock,
          timeoutMs: 100,
          dispatcher,
        }),
    ],
    ['token', () => tokenCredentials(new Secret(secrets.token))],
    [
      'access key',
      () =>
        accessKeyCredentials(
          {
            id: 'AK',
            secret: new Secret(secrets.secretKey),
            securityToken: new Secret(secrets.securityToken),
          },
          clock,
        ),
    ],
  ]

  it.each(
    sources.flatMap(([source, make]) =>
      faults.map(([fault, reply]) => [source, fault, make, reply] as const),
    ),
  )('with %s and %s', async (_source, _fault, make, reply) => {
    const server = await startLoopback(reply)
    const log = collectingLog()
    const options = {
      endpoint: server.url,
      credentials: make(server.url),
      clock,
      timeoutMs: 100,
      dispatcher,
      log,
      projectId: 'p',
    }
    const gateway = createGateway({
      flavour: 'apig',
      instanceId: 'i',
      scope: 'instance',
      projectId: 'p',
      http: createHttpClient({ ...options, service: 'apig' }),
      log,
    })
    const manager = createManager({ http: createHttpClient({ ...options, service: 'scm' }) })
    const material = { certificatePem: 'CERT', privateKey: new Secret(privateKey) }
    const ref = { groupId: 'g', domainId: 'd' }
    const outcomes = await Promise.allSettled([
      gateway.create('name', material),
      gateway.add(ref, 'name', material),
      gateway.update('c', 'name', material),
      gateway.attach(ref, 'c', false),
      gateway.detach(ref, 'c'),
      manager.import('name', material),
      manager.push('scs0000000000001', { service: 'ELB', project: 'eu-de' }),
    ])
    const thrown = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
    )
    for (const one of thrown) expect(one).toBeInstanceOf(Failure)
    expect(server.seen.length).toBeGreaterThan(0)
    expect(thrown.length).toBeGreaterThan(0)
    const printed = [
      ...thrown.map(everyWayToPrint),
      ...log.lines,
      inspect(options.credentials, { depth: 12, showHidden: true }),
    ].join('\n')
    expect(printed.length).toBeGreaterThan(100)
    for (const secret of [...Object.values(secrets), keyLine, keyLine.slice(0, 40), 'Signature=']) {
      expect(printed).not.toContain(secret)
    }
    await server.close()
  })

  it('cuts out known secrets in plain and JSON form, PEM blocks even when they do not end, and long base64', () => {
    expect(printable(`a ${privateKey.trim()} b`)).toBe('a [secret] b')
    expect(printable(`a ${privateKey.slice(0, 60)}`)).toBe('a [secret]')
    expect(printable(`a ${JSON.stringify(privateKey)} b`)).not.toContain(keyLine)
    expect(printable(`key ${keyLine} b`)).toBe('key [removed] b')
    expect(printable('pass "q\\"x" and q"x', ['q"x'])).toBe('pass "[secret]" and [secret]')
    expect(printable('id f0fa1789-3b76-433b-a787-9892951c620e')).toBe(
      'id f0fa1789-3b76-433b-a787-9892951c620e',
    )
  })
})
