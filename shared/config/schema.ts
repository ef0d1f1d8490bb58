import { z } from 'zod'
import { asciiHost } from '../base/host.ts'
import { CERTIFICATE_NAME } from '../base/names.ts'
import { Secret } from '../base/secret.ts'
import { DURATION, durationMs } from './duration.ts'

/**
 * rotation.yaml as people write it. The loader, the JSON Schema for editors and the types below all come from
 * this one description; `.describe()` is what an editor shows.
 */

const secret = z
  .string()
  .min(1)
  .transform((value) => new Secret(value))
const url = z.url({ protocol: /^https?$/ })
const duration = z
  .string()
  .regex(DURATION, 'expected a duration such as 500ms, 30s, 10m, 12h or 7d')
  .transform(durationMs)
const hostAndPort = z
  .string()
  .regex(
    /^(\[[0-9a-fA-F:.]+\]|[^:\s]+)(:\d{1,5})?$/,
    'expected host or host:port, an IPv6 address in [brackets]',
  )

/** What is copied from a console comes with a line break or a space now and then, and is then refused by the cloud as wrong. */
const keyText = z
  .string()
  .min(1)
  .regex(
    /^[\x21-\x7e]*$/,
    'expected it without spaces, line breaks and letters beyond ASCII: was more copied than it?',
  )
const keySecret = keyText.transform((text) => new Secret(text))

const auth = z.strictObject({
  agency: z
    .literal(true)
    .optional()
    .describe('Temporary credentials from the function context (the default in a function)'),
  accessKey: z
    .strictObject({ id: keyText, secret: keySecret, securityToken: keySecret.optional() })
    .optional()
    .describe('Signed requests (SDK-HMAC-SHA256)'),
  password: z
    .strictObject({ domain: z.string().min(1), user: z.string().min(1), password: secret })
    .optional()
    .describe('IAM token by password'),
  token: keySecret.optional().describe('A ready X-Auth-Token'),
})

const cloud = z.strictObject({
  region: z
    .string()
    .regex(/^[a-z0-9-]+$/, 'expected a region such as eu-de or eu-west-101')
    .describe('For example eu-de or eu-west-101'),
  projectId: keyText.optional().describe('Looked up by the region name where it is missing'),
  auth: auth.optional(),
  endpoints: z
    .strictObject({
      iam: url.optional(),
      apig: url.optional(),
      roma: url.optional(),
      scm: url.optional(),
      smn: url.optional(),
      dns: url.optional(),
      functiongraph: url.optional(),
    })
    .default({})
    .describe('Derived from the region; any of them can be set'),
})

const store = z.strictObject({
  bucket: z.string().min(3).optional(),
  endpoint: url.optional().describe('Default: OBS of the region'),
  region: z.string().optional().describe("Signing region, default: the cloud's"),
  pathStyle: z.boolean().default(false).describe('OBS refuses path style; most other S3 servers need it'),
  accessKey: z
    .strictObject({ id: keyText, secret: keySecret, securityToken: keySecret.optional() })
    .optional()
    .describe("Default: the cloud's access key, or the agency's"),
  encryption: z
    .union([
      z.literal('none'),
      z.literal('AES256'),
      z.strictObject({ kms: z.string().min(1).describe('KMS key id, or "default"') }),
    ])
    .default('none')
    .describe('Server-side encryption asked for on every write'),
  directory: z.string().min(1).optional(),
  settle: duration
    .optional()
    .describe('Of a directory: a file is read when it was seen unchanged for this long; default 2s'),
})

const verify = z.union([
  z.literal(false).describe('Do not shake hands with this domain; it ends as "bound, not verified"'),
  z.strictObject({
    connect: hostAndPort.optional().describe('Where to shake hands; default: the name itself, port 443'),
    serverName: z
      .string()
      .transform(asciiHost)
      .optional()
      .describe('For a wildcard: which name below it to ask for'),
  }),
])

/** Everywhere behind the config a name is compared as it stands. */
const host = z.string().min(1).transform(asciiHost)

const domain = z.union([
  host,
  z.strictObject({
    host: host.optional(),
    groupId: z.string().min(1),
    domainId: z.string().min(1),
    verify: verify.optional(),
  }),
  z.strictObject({ host, verify: verify.optional() }),
])

const gateway = z.strictObject({
  flavour: z.enum(['apig', 'roma']),
  instanceId: z.string().min(1),
  scope: z.enum(['instance', 'global']).default('instance'),
  strategy: z
    .enum(['rebind', 'update', 'add'])
    .default('rebind')
    .describe('rebind: create, detach, attach · update: in place, no gap · add: create and bind in one call'),
  attachFirst: z
    .union([z.enum(['auto', 'always', 'never']), z.boolean()])
    .default('auto')
    // What 0.1.0 knew.
    .transform((value) => (typeof value === 'string' ? value : value ? 'always' : 'never'))
    .describe(
      'Attach before detaching. auto: the first domain finds out whether the gateway takes that · always: every domain tries, and falls back where it is refused (APIG.2051) · never',
    ),
  updateWithoutWayBack: z
    .boolean()
    .default(false)
    .describe(
      'Strategy update: go ahead although the predecessor is not in deployed/ and could not be put back',
    ),
  domains: z.array(domain).min(1),
  verify: verify.optional().describe('Default for every domain of this gateway'),
})

const push = z.strictObject({ service: z.enum(['CDN', 'WAF', 'ELB']), project: z.string().min(1) })

const dnsChallenge = z.enum(['huaweicloud', 'otc'])
const renew = z.strictObject({
  before: z
    .string()
    .regex(/^(\d+%|\d+(h|d))$/, 'expected a share such as 25% or a duration such as 30d')
    .optional()
    .describe('Default: a third of the lifetime, half of it for lifetimes under ten days'),
  names: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe("Default: the hosts of the certificate's domains"),
  key: z.enum(['P-256', 'P-384', 'RSA-2048', 'RSA-3072', 'RSA-4096']).default('P-256'),
  reuseKey: z.boolean().default(false),
  acme: z.union([z.lazy(() => acmeAuthority), z.array(z.lazy(() => acmeAuthority)).min(1)]),
})

const acmeAuthority = z.strictObject({
  directory: url,
  email: z.string().optional(),
  dns: dnsChallenge.optional().describe('DNS-01 through this DNS service'),
  http: z
    .strictObject({ bucket: z.string().min(3), prefix: z.string().default('.well-known/acme-challenge/') })
    .optional()
    .describe('HTTP-01 by an object in a bucket that serves the path'),
  profile: z.string().optional(),
  preferredChain: z.string().optional().describe("Common name of the chain's topmost issuer"),
  externalAccount: z.strictObject({ keyId: z.string().min(1), hmacKey: secret }).optional(),
  ca: z.string().optional().describe('PEM file with the root of a private ACME server'),
})

const trust = z.union([
  z.enum(['public', 'any']),
  z.strictObject({ private: z.string().min(1).describe('PEM file with the roots') }),
])

/** SHA-256 of a certificate as people write it, in hex with or without colons; another text is the name of a file. */
export const FINGERPRINT = /^(?:sha256:)?[0-9a-f]{2}(?::?[0-9a-f]{2}){31}$/i
const fingerprint = z.string().regex(FINGERPRINT, 'expected a SHA-256 fingerprint: 64 hex digits')

const certificate = z.strictObject({
  gateways: z.array(gateway).default([]),
  push: z.array(push).default([]),
  trust: trust
    .default('any')
    .describe('Which root the chain must reach: public, any, or { private: roots.pem }'),
  clientCa: z
    .union([z.string().min(1), z.array(fingerprint).min(1), z.literal(false)])
    .optional()
    .describe(
      'CA for client certificates: a PEM file, the SHA-256 fingerprints of what the bundle brings, or false for none; default: it stays what it was',
    ),
  password: secret.optional().describe('Opens an encrypted key or a PKCS#12'),
  allowDowngrade: z
    .boolean()
    .default(false)
    .describe('Accept a bundle that is older or narrower than what is served'),
  requireVerified: z
    .boolean()
    .default(false)
    .describe('A domain that no handshake can reach from here is a failure, not a warning'),
  waitForPair: duration.default(durationMs('1d')).describe('Half a bundle is reported after this long'),
  retire: z
    .strictObject({
      after: duration
        .default(durationMs('7d'))
        .describe('Grace period before an unbound predecessor is deleted'),
      keep: z.number().int().min(0).default(1).describe('This many newest predecessors stay'),
    })
    .prefault({}),
  maxCertificates: z
    .number()
    .int()
    .positive()
    .optional()
    .describe('Certificate quota of the gateway where it is known; retirement makes room first'),
  deletePrivateKey: z
    .boolean()
    .default(false)
    .describe('Do not keep the key in deployed/ (strategy update then has no way back)'),
  renew: renew.optional(),
  owner: z.string().optional().describe('Who is told; groups messages'),
  snoozeUntil: z.iso.date().optional(),
})

const threshold = z
  .string()
  .regex(/^(\d{1,2}%|\d+(h|d))$/, 'expected a share such as 20% or a duration such as 3d')
const channel = z.union([
  z.strictObject({ smn: z.string().startsWith('urn:smn:') }),
  z.strictObject({
    webhook: secret,
    format: z
      .enum(['slack', 'teams', 'dingtalk', 'feishu', 'wecom', 'pagerduty', 'generic'])
      .default('generic'),
    secret: secret.optional().describe('Signing secret (DingTalk, Feishu) or routing key (PagerDuty)'),
    allowPrivateAddress: z.boolean().default(false),
  }),
  z.strictObject({
    smtp: z.strictObject({
      host: z.string(),
      port: z.number().int().min(1).max(65535).default(587),
      user: z.string().optional(),
      password: secret.optional(),
      from: z.string(),
      to: z.array(z.string()).min(1),
    }),
  }),
  z.strictObject({ console: z.literal(true) }),
])

const alerts = z.strictObject({
  thresholds: z.array(threshold).default(['33%', '20%', '10%', '3d', '1d']),
  channels: z.array(channel).default([]),
  owners: z.record(z.string(), z.array(channel)).default({}),
  escalation: z.strictObject({ from: threshold, channels: z.array(channel).min(1) }).optional(),
  unfinishedAfter: duration.default(durationMs('6h')),
})

export const configSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[^\s\p{C}](?:[^\p{C}]{0,62}[^\s\p{C}])?$/u, 'expected 1 to 64 printable characters')
    .optional()
    .describe(
      'Of this installation, such as "production eu-de": in messages, metrics, page and incidents of PagerDuty',
    ),
  cloud: cloud.optional(),
  store,
  certificates: z.record(z.string().regex(CERTIFICATE_NAME), certificate).default({}),
  alerts: alerts.prefault({}),
  heartbeat: z
    .strictObject({
      url: secret.describe('Gets a GET; a monitor raises the alarm when it stops'),
      allowPrivateAddress: z.boolean().default(false),
    })
    .optional()
    .describe('Sent after each tick that looked at everything and could tell everybody, and after no other'),
  concurrency: z.number().int().min(1).max(64).default(8).describe('Domains in flight at a gateway'),
  requestTimeout: duration.default(durationMs('10s')),
  servedWithin: duration
    .default(durationMs('60s'))
    .describe('How long a domain may take to serve what was bound'),
  discover: z.boolean().default(false).describe('Also watch what this tool did not deploy'),
  allowPlainHttp: z
    .boolean()
    .default(false)
    .describe(
      'Endpoints of http:// on other machines are meant; doctor warns of them, and a later release refuses them',
    ),
  status: z.strictObject({ public: z.boolean().default(false) }).prefault({}),
  dnsServers: z
    .array(hostAndPort)
    .min(1)
    .optional()
    .describe("Asked whether a DNS-01 record is visible, instead of the zone's own name servers: host:port"),
  accountKeySecret: secret.optional().describe('Encrypts the ACME account key and pending keys in the store'),
})

export type Config = z.output<typeof configSchema>
export type CertificateConfig = Config['certificates'][string]
export type GatewayConfig = CertificateConfig['gateways'][number]
export type DomainConfig = GatewayConfig['domains'][number]
export type VerifyConfig = NonNullable<GatewayConfig['verify']>
export type ChannelConfig = Config['alerts']['channels'][number]
export type AcmeConfig = NonNullable<CertificateConfig['renew']>
