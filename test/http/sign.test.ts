import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Secret } from '../../shared/base/secret.ts'
import { encodeRfc3986, sdkDate, sign } from '../../shared/http/sign.ts'

interface OfficialRequest {
  method: string
  endpoint: string
  headers: Record<string, string>
  queryParams?: Record<string, string | string[]>
  data?: unknown
}
const official = createRequire(import.meta.url)('@huaweicloud/huaweicloud-sdk-core/auth/AKSKSigner') as {
  AKSKSigner: {
    sign(request: OfficialRequest, key: { getAk(): string; getSk(): string }): Record<string, string>
  }
}

const project = '0123456789abcdef0123456789abcdef'
const key = { id: 'EXAMPLEAK00000000001', secret: new Secret('ExampleSecretKeyForTestVectorsOnly0000001') }
const at = new Date('2026-01-15T10:30:00Z')
const json = { 'content-type': 'application/json' }
const certificateUrl = `https://apig.cn-north-4.myhuaweicloud.com/v2/${project}/apigw/certificates/a27be832f2e9441c8127fe48e3b5ac67`

interface Vector {
  name: string
  method: string
  url: string
  headers: Record<string, string>
  body?: string
  securityToken?: string
  signedHeaders: string
  signature: string
}

const vectors: Vector[] = [
  {
    name: 'V1, a query in any order',
    method: 'GET',
    url: `https://apig.eu-west-101.myhuaweicloud.eu/v2/${project}/apigw/certificates?instance_id=f0fa1789-3b76-433b-a787-9892951c620e&limit=500&offset=0`,
    headers: json,
    signedHeaders: 'content-type;host;x-project-id;x-sdk-date',
    signature: '5792c2d1e95b77e4feb6d8d9b50bb1ba5e058c212ad7c8a2b6f0bd5d6a5c38ac',
  },
  {
    name: 'V2, temporary key with security token',
    method: 'POST',
    url: `https://apig.eu-de.otc.t-systems.com/v2/${project}/apigw/certificates/a27be832f2e9441c8127fe48e3b5ac67/domains/attach`,
    headers: json,
    body: '{"domains":[{"domain":"api.example.com","instance_ids":["f0fa1789-3b76-433b-a787-9892951c620e"],"verified_client_certificate_enabled":false}]}',
    securityToken: 'EXAMPLE/SECURITY+TOKEN==',
    signedHeaders: 'content-type;host;x-project-id;x-sdk-date;x-security-token',
    signature: 'd1d72caaf832cc4b247ec2d57dd63b0c509917a433d165212e20dcefce328c87',
  },
  {
    name: 'V3, a body with UTF-8',
    method: 'PUT',
    url: certificateUrl,
    headers: json,
    body: '{"name":"cert_demo_é中","cert_content":"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n","private_key":"-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\\n"}',
    signedHeaders: 'content-type;host;x-project-id;x-sdk-date',
    signature: '976b4dffe334e81fde0882acb7c4f169469f276ec013614055e66abe1c2da9f8',
  },
  {
    name: 'V4, no body',
    method: 'DELETE',
    url: certificateUrl,
    headers: json,
    signedHeaders: 'content-type;host;x-project-id;x-sdk-date',
    signature: '48c52c3de0833a67841e94037c276d2a5a074617bcd83385b2a5b3996e0a629d',
  },
  {
    name: 'V5, reserved characters, lists and UTF-8 in the query',
    method: 'GET',
    url: 'https://dns.myhuaweicloud.com/v2.1/zones/abc/recordsets?z=%C3%BC*~&status=B&status=A&tags=k%2Cv%7Cx%20y&name=_acme-challenge.example.com.',
    headers: json,
    signedHeaders: 'content-type;host;x-project-id;x-sdk-date',
    signature: 'e1e2198b545c9ac4aee769bac794771d8d6490fb064d08c453025ea5dbd29493',
  },
  {
    name: 'V6, an unsigned payload, whose multipart type is left out',
    method: 'POST',
    url: `https://functiongraph.cn-north-4.myhuaweicloud.com/v2/${project}/upload`,
    headers: { 'content-type': 'multipart/form-data', 'X-Sdk-Content-Sha256': 'UNSIGNED-PAYLOAD' },
    signedHeaders: 'host;x-project-id;x-sdk-content-sha256;x-sdk-date',
    signature: 'd39be722e4019a2a4547f0f1163101fa0a993ce3f6990ff35e0741d3687c03a9',
  },
  {
    name: 'V7, no content type',
    method: 'GET',
    url: 'https://iam.myhuaweicloud.com/v3/projects?name=eu-west-101',
    headers: {},
    signedHeaders: 'host;x-project-id;x-sdk-date',
    signature: '7cda14265efeadef5a4c72ad17742923f9a154104edfd2c939768891c608083d',
  },
  {
    name: 'V8, an encoded path, as the Node SDK (not the Python one) signs it',
    method: 'GET',
    url: 'https://example.com/a/b%20c/',
    headers: json,
    signedHeaders: 'content-type;host;x-project-id;x-sdk-date',
    signature: 'b04b01715662ad2b777cf4fd5acbbd6042ba0afc2e56a78bddeb5f18b824e465',
  },
  {
    name: 'V9, colons in the path',
    method: 'POST',
    url: `https://smn.eu-de.otc.t-systems.com/v2/${project}/notifications/topics/urn:smn:eu-de:${project}:cert-alerts/publish`,
    headers: json,
    body: '{"subject":"rotation failed","message":"api.example.com"}',
    signedHeaders: 'content-type;host;x-project-id;x-sdk-date',
    signature: '5c4e1750fed1c333b07084c71a77b90aaec3253872408f4a06cd37409817d314',
  },
]

describe('SDK-HMAC-SHA256', () => {
  it.each(vectors)('reproduces vector $name', (vector) => {
    const { method, url, headers, body, securityToken } = vector
    const signed = sign(
      {
        method,
        url: new URL(url),
        headers: { ...headers, 'X-Project-Id': project },
        ...(body === undefined ? {} : { body }),
      },
      { ...key, ...(securityToken === undefined ? {} : { securityToken: new Secret(securityToken) }) },
      at,
    )
    expect(signed.Authorization).toBe(
      `SDK-HMAC-SHA256 Access=${key.id}, SignedHeaders=${vector.signedHeaders}, Signature=${vector.signature}`,
    )
    expect(signed['X-Sdk-Date']).toBe('20260115T103000Z')
    expect(signed['X-Security-Token']).toBe(securityToken)
  })

  it('signs random requests exactly as the official Node SDK does', () => {
    const segment = fc.string({
      unit: fc.constantFrom(...'abcXYZ019-._~:@$&()+,;=*!é中'),
      minLength: 1,
      maxLength: 12,
    })
    const value = fc.string({ unit: 'grapheme', maxLength: 12 })
    fc.assert(
      fc.property(
        fc.record({
          method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'),
          // A dot segment is resolved by every URL parser before anybody signs it.
          segments: fc.array(
            segment.filter((text) => text !== '.' && text !== '..'),
            { maxLength: 5 },
          ),
          slash: fc.boolean(),
          query: fc.dictionary(
            fc.string({ unit: fc.constantFrom(...'abcXYZ_-.01 é*'), minLength: 1, maxLength: 8 }),
            fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 3 })),
            { maxKeys: 4, noNullPrototype: true },
          ),
          headers: fc.dictionary(
            fc
              .string({ unit: fc.constantFrom(...'abcxyz019-'), minLength: 1, maxLength: 8 })
              .map((name) => `X-T${name}`),
            fc.string({ unit: fc.constantFrom(...'abc019 /+='), maxLength: 12 }).map((text) => text.trim()),
            { maxKeys: 3, noNullPrototype: true },
          ),
          body: fc.option(fc.dictionary(value, value, { maxKeys: 4, noNullPrototype: true }), {
            nil: undefined,
          }),
          port: fc.option(fc.integer({ min: 1024, max: 65_535 }), { nil: undefined }),
          time: fc.date({ min: new Date('2020-01-01'), max: new Date('2049-12-31'), noInvalidDate: true }),
        }),
        ({ method, segments, slash, query, headers, body, port, time }) => {
          const url = new URL(`https://apig.example.com${port === undefined ? '' : `:${port}`}`)
          url.pathname = `/${segments.join('/')}${slash ? '/' : ''}`
          const endpoint = url.href
          url.search = Object.entries(query)
            .flatMap(([name, values]) =>
              [values].flat().map((one) => `${encodeRfc3986(name)}=${encodeRfc3986(one)}`),
            )
            .join('&')
          const all = { ...headers, 'content-type': 'application/json', 'X-Project-Id': project }
          const theirs = official.AKSKSigner.sign(
            {
              method,
              endpoint,
              headers: { ...all, 'X-Sdk-Date': sdkDate(time) },
              queryParams: query,
              ...(body === undefined ? {} : { data: body }),
            },
            { getAk: () => key.id, getSk: () => key.secret.reveal() },
          )
          const ours = sign(
            { method, url, headers: all, ...(body === undefined ? {} : { body: JSON.stringify(body) }) },
            key,
            time,
          )
          expect(ours.Authorization).toBe(theirs.Authorization)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('changes the signature with the body, the date, the path, the query and the key', () => {
    const base = { method: 'POST', url: new URL('https://a.example/x?y=1'), headers: json, body: '{}' }
    const signature = (request: typeof base, when = at, secret = key.secret) =>
      sign(request, { ...key, secret }, when).Authorization
    const all = [
      signature(base),
      signature({ ...base, body: '{ }' }),
      signature(base, new Date(at.getTime() + 1_000)),
      signature({ ...base, url: new URL('https://a.example/z?y=1') }),
      signature({ ...base, url: new URL('https://a.example/x?y=2') }),
      signature(base, at, new Secret('another')),
    ]
    expect(new Set(all).size).toBe(all.length)
  })
})
