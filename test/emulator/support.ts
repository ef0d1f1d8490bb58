import { connect, type DetailedPeerCertificate } from 'node:tls'
import type { Emulator } from '../../emulator/emulator.ts'
import { startEmulator } from '../../emulator/emulator.ts'
import type { SeedInput } from '../../emulator/seed.ts'

export const PROJECT = '0123456789abcdef0123456789abcdef'
export const APIG = 'f0fa1789-3b76-433b-a787-9892951c620e'
export const ROMA = 'aa1b2c3d-0000-4000-8000-000000000001'
export const GROUP = '11111111111111111111111111111111'
export const DOMAIN = '22222222222222222222222222222222'
export const TOKEN = 'emulator-test-token'
export const KEY = { id: 'EMULATORKEY000000001', secret: 'emulator-only-secret-0000000000000000001' }

/** One domain on an APIG instance, bound to a certificate with ten days left, and an empty ROMA instance. */
export function seed(more: Partial<SeedInput> = {}): SeedInput {
  return {
    project: { id: PROJECT },
    accessKeys: [KEY],
    tokens: [{ token: TOKEN }],
    certificates: [
      { ref: 'old', generate: { notBefore: '-80d', notAfter: '+10d', names: ['api.example.com'] } },
    ],
    instances: [
      {
        flavour: 'apig',
        id: APIG,
        groups: [
          { id: GROUP, name: 'shop', domains: [{ id: DOMAIN, host: 'api.example.com', certificate: 'old' }] },
          { name: 'empty', domains: [] },
        ],
      },
      { flavour: 'roma', id: ROMA, groups: [{ id: GROUP, name: 'erp', domains: [] }] },
    ],
    ...more,
  }
}

export interface Answer {
  status: number
  headers: Headers

  body: Record<string, unknown>
  text: string
}

/** A client that knows nothing but HTTP. */
export async function call(
  emulator: Emulator,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = { 'x-auth-token': TOKEN },
): Promise<Answer> {
  const response = await fetch(emulator.url + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  let parsed: unknown = {}
  try {
    parsed = text === '' ? {} : JSON.parse(text)
  } catch {
    // Replies that are not JSON are compared as text.
  }
  return { status: response.status, headers: response.headers, body: parsed as Answer['body'], text }
}

export const apigw = `/v2/${PROJECT}/apigw`
export const apic = `/v2/${PROJECT}/apic`
export const domainPath = `${apigw}/instances/${APIG}/api-groups/${GROUP}/domains/${DOMAIN}`

export async function withEmulator<T>(
  more: Partial<SeedInput>,
  act: (emulator: Emulator) => Promise<T>,
): Promise<T> {
  const emulator = await startEmulator({ seed: seed(more) })
  try {
    return await act(emulator)
  } finally {
    await emulator.close()
  }
}

/** Status and code of an answer, for comparing in one line. */
export function outcome(answer: Answer): string {
  const code = answer.body.error_code ?? answer.body.code ?? ''
  return `${answer.status} ${String(code)}`.trim()
}

export interface Shaken {
  certificate: DetailedPeerCertificate
  fingerprint: string
  protocol: string | null
}

/** A real handshake at the edge; rejects with OpenSSL's words where it is refused. */
export function shakeHands(
  emulator: Emulator,
  servername: string,
  options: {
    key?: string
    cert?: string
    ciphers?: string
    ca?: string
    maxVersion?: 'TLSv1.1' | 'TLSv1.2'
  } = {},
): Promise<Shaken> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: emulator.tls.host,
      port: emulator.tls.port,
      servername,
      ca: emulator.root.certificatePem,
      checkServerIdentity: () => undefined,
      ...(options.maxVersion === 'TLSv1.1' ? { minVersion: 'TLSv1.1' as const } : {}),
      ...options,
    })
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerCertificate(true)
      const protocol = socket.getProtocol()
      socket.destroy()
      const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
      resolve({ certificate, fingerprint, protocol })
    })
  })
}
