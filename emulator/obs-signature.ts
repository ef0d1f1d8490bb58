import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { SignedRequest } from './signature.ts'

// AWS Signature Version 4 from the server's side, as OBS takes it in its S3-compatible API (service `s3`).

const HEADER =
  /^AWS4-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{8})\/([^/,\s]+)\/s3\/aws4_request, ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})$/

export interface ObsAuthorization {
  accessKeyId: string
  day: string
  region: string
  signedHeaders: string[]
  signature: string
}

/** Undefined where the Authorization header is not of this scheme. */
export function parseObsAuthorization(header: string | undefined): ObsAuthorization | undefined {
  const match = HEADER.exec(header ?? '')
  if (match === null) return undefined
  const [, accessKeyId, day, region, names, signature] = match as unknown as string[]
  return {
    accessKeyId: accessKeyId!,
    day: day!,
    region: region!,
    signedHeaders: names!.split(';'),
    signature: signature!,
  }
}

/** `x-amz-date`, undefined where it is missing or malformed. */
export function obsDate(request: SignedRequest): Date | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(request.headers['x-amz-date'] ?? ''))
  if (match === null) return undefined
  const [, year, month, date, hours, minutes, seconds] = match.map(Number) as number[]
  return new Date(Date.UTC(year!, month! - 1, date, hours, minutes, seconds))
}

/** What is wrong with the request's signature by this key, in OBS's error codes; undefined where it is right. */
export function obsSignatureProblem(
  request: SignedRequest,
  parts: ObsAuthorization,
  secret: string,
): 'SignatureDoesNotMatch' | 'XAmzContentSHA256Mismatch' | undefined {
  const claimed = String(request.headers['x-amz-content-sha256'] ?? '')
  const [path = '/', query = ''] = request.url.split('?', 2) as [string, string?]
  const canonical = [
    request.method,
    path,
    query
      .split('&')
      .filter(Boolean)
      .map((pair) => (pair.includes('=') ? pair : `${pair}=`))
      .sort()
      .join('&'),
    ...parts.signedHeaders.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}`),
    '',
    parts.signedHeaders.join(';'),
    claimed,
  ].join('\n')
  const date = String(request.headers['x-amz-date'] ?? '')
  const scope = `${parts.day}/${parts.region}/s3/aws4_request`
  const text = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')
  const key = [parts.day, parts.region, 's3', 'aws4_request'].reduce<string | Buffer>(
    (before, part) => hmac(before, part),
    `AWS4${secret}`,
  )
  const expected = hmac(key, text)
  if (
    !parts.signedHeaders.includes('host') ||
    !timingSafeEqual(expected, Buffer.from(parts.signature, 'hex'))
  )
    return 'SignatureDoesNotMatch'
  // Trailers (`STREAMING-…`) are what OBS refuses too.
  if (claimed !== 'UNSIGNED-PAYLOAD' && claimed !== sha256(request.body)) return 'XAmzContentSHA256Mismatch'
  return undefined
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
