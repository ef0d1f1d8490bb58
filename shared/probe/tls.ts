import { createHash, X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { connect as connectTcp, isIP } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { connect as connectTls } from 'node:tls'
import { Failure } from '../base/failure.ts'
import { createHandshakeReader } from './handshake-reader.ts'
import type { Probe, ProbeResult, ProbeTarget, ServedCertificate } from './port.ts'
import { TappedStream } from './tapped-stream.ts'

export interface ProbeOptions {
  /** For the TCP connection and, again, for each handshake. */
  timeoutMs: number
}

type Version = 'TLSv1.2' | 'TLSv1.3'
type Attempt =
  | { kind: 'unreached'; reason: string }
  | { kind: 'served'; der: Uint8Array[] }
  | { kind: 'refused'; reason: string; otherVersion: boolean }

/**
 * Shakes hands as a client that trusts everybody and has no certificate of its own, and tells what was shown.
 * Up to TLS 1.2 first: there the certificates are readable as sent, and that is what the gateways speak. TLS 1.3
 * only where the server wants nothing else. Throws a `Failure` only when the signal aborts.
 */
export function createProbe({ timeoutMs }: ProbeOptions): Probe {
  return {
    async handshake(target, signal): Promise<ProbeResult> {
      let attempt = await shakeHands(target, 'TLSv1.2', timeoutMs, signal)
      if (attempt.kind === 'refused' && attempt.otherVersion) {
        const second = await shakeHands(target, 'TLSv1.3', timeoutMs, signal)
        // A second refusal may be about the version again: the first one then tells more.
        if (second.kind === 'served' || !(second.kind === 'refused' && second.otherVersion)) attempt = second
      }
      if (attempt.kind === 'unreached') return { reached: false, reason: attempt.reason }
      if (attempt.kind === 'refused') return { reached: true, served: undefined, reason: attempt.reason }
      try {
        return { reached: true, served: describe(attempt.der) }
      } catch {
        return {
          reached: true,
          served: undefined,
          reason: 'the server sent a certificate that cannot be read',
        }
      }
    },
  }
}

function shakeHands(
  target: ProbeTarget,
  version: Version,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Attempt> {
  const { promise, resolve, reject } = withResolvers<Attempt>()
  const host = target.host.replace(/^\[(.*)\]$/, '$1')
  const reader = createHandshakeReader()
  let secure: TLSSocket | undefined
  let connected = false

  if (signal?.aborted) {
    reject(aborted(target))
    return promise
  }
  const tcp: Socket = connectTcp({ host, port: target.port })
  const timer = setTimeout(() => {
    finish(
      connected
        ? {
            kind: 'refused',
            reason: `no answer to the TLS handshake within ${timeoutMs} ms`,
            otherVersion: false,
          }
        : { kind: 'unreached', reason: `no connection to ${host}:${target.port} within ${timeoutMs} ms` },
    )
  }, timeoutMs)
  const onAbort = () => {
    cleanUp()
    reject(aborted(target))
  }
  signal?.addEventListener('abort', onAbort, { once: true })

  function cleanUp(): void {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
    // Errors of a connection that is being dropped interest nobody.
    tcp.on('error', () => {})
    secure?.on('error', () => {})
    secure?.destroy()
    tcp.destroy()
  }

  function finish(attempt: Attempt): void {
    cleanUp()
    resolve(attempt)
  }

  function onFailed(error: NodeJS.ErrnoException | undefined): void {
    if (!connected) {
      finish({ kind: 'unreached', reason: unreachedReason(error, host, target.port) })
      return
    }
    if (reader.certificates?.length && reader.asksForClientCertificate && reader.alert !== undefined) {
      // The server proved its identity and only misses ours: others, who have a certificate, are served.
      if (reader.provedKey) finish({ kind: 'served', der: reader.certificates })
      // Anybody can show a certificate: what was shown is neither served nor a reason to undo anything.
      else
        finish({
          kind: 'unreached',
          reason: `the server asked for a client certificate and broke off before it proved to have the key of its own (alert ${reader.alert})`,
        })
      return
    }
    const alert = reader.alert ?? alertOf(error)
    const reason =
      alert === undefined
        ? `the server broke off the TLS handshake (${codeOf(error)})`
        : `the server refused the TLS handshake (alert ${alert})`
    finish({ kind: 'refused', reason, otherVersion: wantsOtherVersion(alert, error) })
  }

  tcp.once('error', onFailed)
  tcp.once('connect', () => {
    connected = true
    tcp.removeListener('error', onFailed)
    // Rearmed: the time for the handshake is its own.
    timer.refresh()
    const stream = new TappedStream(tcp, reader.receive, reader.sent)
    stream.on('error', onFailed)
    secure = connectTls({
      socket: stream,
      ...(isIP(target.serverName) === 0 ? { servername: target.serverName } : {}),
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      maxVersion: version,
      // Old protocols and weak keys are to be seen and judged elsewhere, not to look like an outage.
      minVersion: version === 'TLSv1.3' ? 'TLSv1.3' : 'TLSv1',
      ciphers: 'DEFAULT@SECLEVEL=0',
      // An empty trust store: Node would complete the chain from a full one.
      ca: [],
    })
    const socket = secure
    secure.once('secureConnect', () => {
      const der = version === 'TLSv1.2' ? reader.certificates : chainOf(socket)
      if (der?.length) finish({ kind: 'served', der })
      else finish({ kind: 'refused', reason: 'the server sent no certificate', otherVersion: false })
    })
    secure.once('error', onFailed)
    secure.once('close', () => onFailed(undefined))
  })
  return promise
}

/** TLS 1.3 encrypts its certificates, so Node's view must do: with an empty trust store it has only what was sent. */
function chainOf(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = []
  let next = socket.getPeerX509Certificate()
  for (let depth = 0; next !== undefined && depth < 32; depth++) {
    const der = Uint8Array.from(next.raw)
    if (chain.some((known) => Buffer.compare(known, der) === 0)) break
    chain.push(der)
    next = next.issuerCertificate
  }
  return chain
}

function describe(der: Uint8Array[]): ServedCertificate {
  const fingerprints = der.map((one) => createHash('sha256').update(one).digest('hex'))
  const leaf = new X509Certificate(der[0] ?? new Uint8Array())
  return {
    fingerprint: fingerprints[0] ?? '',
    chain: fingerprints,
    der,
    notBefore: new Date(leaf.validFrom),
    notAfter: new Date(leaf.validTo),
    commonName: /(?:^|\n)CN=(.*)/.exec(leaf.subject ?? '')?.[1] ?? '',
    issuer: (leaf.issuer ?? '').split('\n').reverse().join(', '),
    names: namesOf(leaf.subjectAltName),
  }
}

/** `DNS:a.example, IP Address:10.0.0.1`; Node quotes values that could be mistaken for more entries. */
function namesOf(subjectAltName: string | undefined): string[] {
  const names: string[] = []
  for (const [, kind, quoted, plain] of (subjectAltName ?? '').matchAll(
    /(?:^|, )([A-Za-z ]+):(?:("(?:[^"\\]|\\.)*")|([^,]*))/g,
  )) {
    if (kind !== 'DNS' && kind !== 'IP Address') continue
    names.push((quoted === undefined ? (plain ?? '') : String(JSON.parse(quoted))).toLowerCase())
  }
  return names
}

function unreachedReason(error: NodeJS.ErrnoException | undefined, host: string, port: number): string {
  const code = codeOf(error)
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `${host} has no address in DNS (${code})`
  if (code === 'ECONNREFUSED') return `${host}:${port} refuses connections`
  return `no connection to ${host}:${port} (${code})`
}

/** Several addresses fail together in an AggregateError. */
function codeOf(error: NodeJS.ErrnoException | undefined): string {
  if (error === undefined) return 'connection closed'
  const [first] = (error as { errors?: NodeJS.ErrnoException[] }).errors ?? []
  return error.code ?? first?.code ?? 'connection error'
}

/** OpenSSL's words for an alert that came encrypted: `ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED`. */
function alertOf(error: NodeJS.ErrnoException | undefined): string | undefined {
  return /^ERR_SSL_(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(.*)$/.exec(error?.code ?? '')?.[1]?.toLowerCase()
}

function wantsOtherVersion(alert: string | undefined, error: NodeJS.ErrnoException | undefined): boolean {
  // Some servers answer a version they do not speak with the most general alert.
  return (
    alert === 'protocol_version' ||
    alert === 'handshake_failure' ||
    /PROTOCOL|VERSION/.test(error?.code ?? '')
  )
}

function aborted(target: ProbeTarget): Failure {
  return new Failure({
    code: 'probe.aborted',
    kind: 'later',
    message: `Stopped during the TLS handshake with ${target.serverName} at ${target.host}:${target.port}`,
    next: 'The time of this invocation was over or somebody stopped it: the next run looks again.',
    facts: { serverName: target.serverName, host: target.host, port: target.port },
  })
}

function withResolvers<T>() {
  let resolve!: (value: T) => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<T>((fulfil, refuse) => {
    resolve = fulfil
    reject = refuse
  })
  return { promise, resolve, reject }
}
