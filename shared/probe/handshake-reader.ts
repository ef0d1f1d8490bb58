/**
 * Reads what a TLS 1.2 server says before encryption begins (RFC 5246, sections 6.2.1, 7.2 and 7.4.2): its
 * certificates exactly as sent and in that order, whether it asks the client for one, and its alert; and of the client
 * whether it went on to its key exchange. Node's own view of the peer's chain is sorted and completed from a trust store,
 * and gone when the handshake fails.
 */
export interface HandshakeReader {
  receive(chunk: Uint8Array): void
  /** What our side sends. */
  sent(chunk: Uint8Array): void
  /** DER, leaf first, as sent; undefined before (or without) a Certificate message. */
  readonly certificates: Uint8Array[] | undefined
  readonly asksForClientCertificate: boolean
  /**
   * The server has signed this handshake's key exchange with the key of its certificate: our side goes on to its own only
   * after it has verified that (RFC 5246, section 7.4.3). A certificate alone is public and proves nothing.
   */
  readonly provedKey: boolean
  /** Name of the last alert, for example `unrecognized_name`. */
  readonly alert: string | undefined
}

const RECORD_CHANGE_CIPHER_SPEC = 20
const RECORD_ALERT = 21
const RECORD_HANDSHAKE = 22
const MESSAGE_CERTIFICATE = 11
const MESSAGE_SERVER_KEY_EXCHANGE = 12
const MESSAGE_CERTIFICATE_REQUEST = 13
const MESSAGE_CLIENT_KEY_EXCHANGE = 16
/** Far above any real flight; what exceeds it is not kept. */
const MAX_BYTES = 512 * 1024

export function createHandshakeReader(): HandshakeReader {
  let certificates: Uint8Array[] | undefined
  let asksForClientCertificate = false
  let signedKeyExchange = false
  let wentOn = false
  let alert: string | undefined
  const receive = recordReader(
    (type, body) => {
      if (type === MESSAGE_CERTIFICATE) certificates = readCertificates(body)
      if (type === MESSAGE_SERVER_KEY_EXCHANGE) signedKeyExchange = true
      if (type === MESSAGE_CERTIFICATE_REQUEST) asksForClientCertificate = true
    },
    (number) => {
      alert = alertNames[number] ?? `number ${number}`
    },
  )
  const sent = recordReader(
    (type) => {
      if (type === MESSAGE_CLIENT_KEY_EXCHANGE) wentOn = true
    },
    () => {},
  )
  return {
    receive,
    sent,
    get certificates() {
      return certificates
    },
    get asksForClientCertificate() {
      return asksForClientCertificate
    },
    get provedKey() {
      return signedKeyExchange && wentOn
    },
    get alert() {
      return alert
    },
  }
}

/** Of one direction: handshake messages and alerts, until encryption begins. */
function recordReader(
  onMessage: (type: number, body: Buffer) => void,
  onAlert: (number: number) => void,
): (chunk: Uint8Array) => void {
  let records = Buffer.alloc(0)
  let messages = Buffer.alloc(0)
  let read = 0
  let over = false
  return (chunk) => {
    read += chunk.length
    if (over || read > MAX_BYTES) return
    records = Buffer.concat([records, chunk])
    while (records.length >= 5) {
      const length = records.readUInt16BE(3)
      if (records.length < 5 + length) return
      const type = records[0]
      const body = records.subarray(5, 5 + length)
      records = records.subarray(5 + length)
      if (type === RECORD_HANDSHAKE) messages = eachMessage(Buffer.concat([messages, body]), onMessage)
      else if (type === RECORD_ALERT && body.length === 2) onAlert(body[1] ?? -1)
      else if (type === RECORD_CHANGE_CIPHER_SPEC) {
        over = true
        return
      }
    }
  }
}

/** Returns what is not whole yet. */
function eachMessage(messages: Buffer<ArrayBuffer>, onMessage: (type: number, body: Buffer) => void) {
  let rest = messages
  while (rest.length >= 4) {
    const length = rest.readUIntBE(1, 3)
    if (rest.length < 4 + length) break
    onMessage(rest[0]!, rest.subarray(4, 4 + length))
    rest = rest.subarray(4 + length)
  }
  return rest
}

function readCertificates(body: Buffer): Uint8Array[] | undefined {
  if (body.length < 3) return undefined
  const found: Uint8Array[] = []
  const end = Math.min(3 + body.readUIntBE(0, 3), body.length)
  for (let at = 3; at + 3 <= end; ) {
    const length = body.readUIntBE(at, 3)
    if (length === 0 || at + 3 + length > end) return undefined
    found.push(Uint8Array.from(body.subarray(at + 3, at + 3 + length)))
    at += 3 + length
  }
  return found
}

/** RFC 8446, section 6, and RFC 6066 for 111–114. */
const alertNames: Record<number, string> = {
  0: 'close_notify',
  10: 'unexpected_message',
  20: 'bad_record_mac',
  40: 'handshake_failure',
  42: 'bad_certificate',
  43: 'unsupported_certificate',
  44: 'certificate_revoked',
  45: 'certificate_expired',
  46: 'certificate_unknown',
  47: 'illegal_parameter',
  48: 'unknown_ca',
  49: 'access_denied',
  50: 'decode_error',
  51: 'decrypt_error',
  70: 'protocol_version',
  71: 'insufficient_security',
  80: 'internal_error',
  86: 'inappropriate_fallback',
  90: 'user_canceled',
  109: 'missing_extension',
  110: 'unsupported_extension',
  112: 'unrecognized_name',
  113: 'bad_certificate_status_response',
  116: 'certificate_required',
  120: 'no_application_protocol',
}
