/** What the edge must know of a ClientHello before it chooses how to shake hands. */
export type ClientHello =
  | { kind: 'incomplete' }
  | { kind: 'not-tls' }
  /** `serverName` undefined: the client sent none. */
  | { kind: 'hello'; serverName: string | undefined }

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0

/** Reads the server name out of the first bytes of a connection (RFC 8446, 4.1.2; RFC 6066, 3). */
export function readClientHello(bytes: Buffer): ClientHello {
  if (bytes.length < 5) return { kind: bytes.length > 0 && bytes[0] !== HANDSHAKE ? 'not-tls' : 'incomplete' }
  if (bytes[0] !== HANDSHAKE || bytes[1] !== 3) return { kind: 'not-tls' }
  const message = joinRecords(bytes)
  if (message === undefined) return { kind: 'not-tls' }
  if (message.length < 4) return { kind: 'incomplete' }
  if (message[0] !== CLIENT_HELLO) return { kind: 'not-tls' }
  const length = message.readUIntBE(1, 3)
  if (message.length < 4 + length) return { kind: 'incomplete' }
  try {
    return { kind: 'hello', serverName: serverNameOf(message.subarray(4, 4 + length)) }
  } catch {
    return { kind: 'not-tls' }
  }
}

// One handshake message may be spread over several records.
function joinRecords(bytes: Buffer): Buffer | undefined {
  const parts: Buffer[] = []
  let at = 0
  while (at + 5 <= bytes.length) {
    if (bytes[at] !== HANDSHAKE) return parts.length > 0 ? Buffer.concat(parts) : undefined
    const length = bytes.readUInt16BE(at + 3)
    parts.push(bytes.subarray(at + 5, at + 5 + length))
    at += 5 + length
  }
  return Buffer.concat(parts)
}

function serverNameOf(hello: Buffer): string | undefined {
  let at = 2 + 32
  at += 1 + hello.readUInt8(at)
  at += 2 + hello.readUInt16BE(at)
  at += 1 + hello.readUInt8(at)
  if (at + 2 > hello.length) return undefined
  const end = at + 2 + hello.readUInt16BE(at)
  at += 2
  while (at + 4 <= end) {
    const type = hello.readUInt16BE(at)
    const length = hello.readUInt16BE(at + 2)
    if (type === SERVER_NAME) {
      const size = hello.readUInt16BE(at + 4 + 3)
      return hello.toString('latin1', at + 4 + 5, at + 4 + 5 + size).toLowerCase()
    }
    at += 4 + length
  }
  return undefined
}
