import { createHash, createHmac } from 'node:crypto'
import type { Secret } from '../base/secret.ts'

/** A permanent or temporary access key. `securityToken` belongs to temporary ones. */
export interface AccessKey {
  id: string
  secret: Secret
  securityToken?: Secret
}

export interface SignableRequest {
  method: string
  /** With the query as it goes on the wire. */
  url: URL
  /** Every header here is signed, except a multipart content type (the SDK's rule). */
  headers: Readonly<Record<string, string>>
  body?: string | Uint8Array
}

const ALGORITHM = 'SDK-HMAC-SHA256'
const PAYLOAD_HEADER = 'x-sdk-content-sha256'

/**
 * The headers that make the request a signed one: `Host`, `X-Sdk-Date`, `X-Security-Token` (temporary keys) and
 * `Authorization`. Source: SDK-HMAC-SHA256 as the official Node SDK computes it ("AK/SK signing", API Gateway
 * docs). Like that SDK, and unlike its Python sister, a path that holds `%XX` is encoded once more: our own
 * paths hold none.
 */
export function sign(request: SignableRequest, key: AccessKey, at: Date): Record<string, string> {
  const added: Record<string, string> = {
    Host: request.url.host,
    'X-Sdk-Date': sdkDate(at),
    ...(key.securityToken === undefined ? {} : { 'X-Security-Token': key.securityToken.reveal() }),
  }
  const headers = new Map<string, string>()
  for (const [name, value] of [...Object.entries(request.headers), ...Object.entries(added)]) {
    const lower = name.toLowerCase()
    if (lower === 'content-type' && value.includes('multipart/form-data')) continue
    headers.set(lower, value.trim())
  }
  const names = [...headers.keys()].sort()
  const signedHeaders = names.join(';')
  const canonicalRequest = [
    request.method.toUpperCase(),
    canonicalPath(request.url.pathname),
    canonicalQuery(request.url.search),
    names.map((name) => `${name}:${headers.get(name)}\n`).join(''),
    signedHeaders,
    headers.get(PAYLOAD_HEADER) ?? sha256(request.body ?? ''),
  ].join('\n')
  const stringToSign = [ALGORITHM, added['X-Sdk-Date'], sha256(canonicalRequest)].join('\n')
  const signature = createHmac('sha256', key.secret.reveal()).update(stringToSign).digest('hex')
  return {
    ...added,
    Authorization: `${ALGORITHM} Access=${key.id}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
  }
}

/** `20260115T103000Z`; servers accept 15 minutes to either side. */
export function sdkDate(at: Date): string {
  return at
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:]/g, '')
}

/** RFC 3986 encoding that keeps only the unreserved characters. */
export function encodeRfc3986(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** Ends in `/` for signing even where the request's own path does not. */
function canonicalPath(path: string): string {
  const encoded = path.split('/').map(encodeRfc3986).join('/')
  return encoded.endsWith('/') ? encoded : `${encoded}/`
}

function canonicalQuery(search: string): string {
  const byKey = new Map<string, string[]>()
  for (const pair of search.replace(/^\?/, '').split('&')) {
    if (pair === '') continue
    const at = pair.indexOf('=')
    const key = decode(at < 0 ? pair : pair.slice(0, at))
    const value = at < 0 ? '' : decode(pair.slice(at + 1))
    byKey.set(key, [...(byKey.get(key) ?? []), value])
  }
  return [...byKey.keys()]
    .sort()
    .flatMap((key) =>
      (byKey.get(key) ?? []).sort().map((value) => `${encodeRfc3986(key)}=${encodeRfc3986(value)}`),
    )
    .join('&')
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // A lone `%` is no escape: it stands for itself.
    return text
  }
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
