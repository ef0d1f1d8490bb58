import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

// SDK-HMAC-SHA256 from the server's side, written from the published rules (reference, section 3.2). It shares no
// line with the product's signer, so that one mistake cannot make both agree.

const HEADER = /^SDK-HMAC-SHA256 Access=([^,\s]+), ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})$/
const DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

export interface SignedRequest {
  method: string
  /** Path and query exactly as they came over the wire. */
  url: string
  headers: IncomingHttpHeaders
  body: Uint8Array
}

export interface SignatureParts {
  accessKeyId: string
  signedHeaders: string[]
  signature: string
}

/** Undefined where the Authorization header is not of this scheme or not well-formed. */
export function parseAuthorization(header: string): SignatureParts | undefined {
  const match = HEADER.exec(header)
  if (match === null) return undefined
  return { accessKeyId: match[1]!, signedHeaders: match[2]!.split(';'), signature: match[3]! }
}

/** The instant in `X-Sdk-Date`, undefined where it is missing or malformed. */
export function parseSignatureDate(headers: IncomingHttpHeaders): Date | undefined {
  const match = DATE.exec(headerValue(headers, 'x-sdk-date') ?? '')
  if (match === null) return undefined
  const [, year, month, date, hours, minutes, seconds] = match.map(Number) as number[]
  return new Date(Date.UTC(year!, month! - 1, date, hours, minutes, seconds))
}

/**
 * The canonical requests a client may have signed. Two, because official clients disagree about a path that is
 * already percent-encoded: Node's encodes it again, Python's does not.
 */
export function canonicalRequests(request: SignedRequest, signedHeaders: string[]): string[] {
  const [path = '/', query = ''] = splitOnce(request.url, '?')
  const headerLines = signedHeaders.map(
    (name) => `${name}:${(headerValue(request.headers, name) ?? '').trim()}\n`,
  )
  const tail = [
    canonicalQuery(query),
    headerLines.join(''),
    signedHeaders.join(';'),
    headerValue(request.headers, 'x-sdk-content-sha256') ?? sha256(request.body),
  ]
  const uris = new Set([canonicalUri(path, (segment) => segment), canonicalUri(path, decode)])
  return [...uris].map((uri) => [request.method.toUpperCase(), uri, ...tail].join('\n'))
}

/** Hex signature of one canonical request. */
export function signatureOf(canonicalRequest: string, date: string, secretKey: string): string {
  const stringToSign = `SDK-HMAC-SHA256\n${date}\n${sha256(canonicalRequest)}`
  return createHmac('sha256', secretKey).update(stringToSign).digest('hex')
}

/** Whether the request carries a signature by this key over what it really contains. The date's age is not judged here. */
export function verifySignature(request: SignedRequest, parts: SignatureParts, secretKey: string): boolean {
  const names = parts.signedHeaders
  const sorted = [...names].sort()
  if (names.some((name, i) => name !== sorted[i] || name !== name.toLowerCase())) return false
  // Without these two a captured signature could be sent elsewhere or kept for later.
  if (!names.includes('host') || !names.includes('x-sdk-date')) return false
  if (names.some((name) => headerValue(request.headers, name) === undefined)) return false
  if (!payloadHashIsHonest(request, names)) return false
  const date = headerValue(request.headers, 'x-sdk-date')!
  const given = Buffer.from(parts.signature, 'hex')
  return canonicalRequests(request, names).some((canonical) =>
    timingSafeEqual(given, Buffer.from(signatureOf(canonical, date, secretKey), 'hex')),
  )
}

// The header's value goes into the signature in place of the body's digest, so it must be signed itself and true.
// Official clients leave the payload out only where it is not JSON.
function payloadHashIsHonest(request: SignedRequest, signedHeaders: string[]): boolean {
  const claimed = headerValue(request.headers, 'x-sdk-content-sha256')
  if (claimed === undefined) return true
  if (!signedHeaders.includes('x-sdk-content-sha256')) return false
  if (claimed === sha256(request.body)) return true
  return claimed === 'UNSIGNED-PAYLOAD' && !/json/i.test(headerValue(request.headers, 'content-type') ?? '')
}

function canonicalUri(path: string, prepare: (segment: string) => string): string {
  const uri = path
    .split('/')
    .map((segment) => encode(prepare(segment)))
    .join('/')
  return uri.endsWith('/') ? uri : `${uri}/`
}

function canonicalQuery(query: string): string {
  const pairs = query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => splitOnce(pair, '=').map(decode) as [string, string?])
  pairs.sort(([keyA, a = ''], [keyB, b = '']) => compare(keyA, keyB) || compare(a, b))
  return pairs.map(([key, value = '']) => `${encode(key)}=${encode(value)}`).join('&')
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

// RFC 3986: everything but A-Z a-z 0-9 - _ . ~ is encoded; encodeURIComponent leaves five more.
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function headerValue(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(',') : value
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
