import { z } from 'zod'
import { day, hour, minute } from '../shared/base/clock.ts'
import { badInput } from './auth.ts'
import { RECORD_TYPES } from './dns-zones.ts'
import { looked } from './host-name.ts'
import { INSTANCE_ID, RESOURCE_ID, SCM_ID } from './ids.ts'
import { rulesSchema } from './rules.ts'

// The seed format, a contract with other people's tools: emulator/README.md.

const RELATIVE = /^([+-])(\d{1,6})(m|h|d)$/
const UNITS = { m: minute, h: hour, d: day }

/** An instant: RFC 3339, or relative to the emulator's now: `-80d`, `+10d`, `+12h`, `+30m`. */
const instant = z
  .string()
  .refine((text) => RELATIVE.test(text) || /^\d{4}-\d\d-\d\dT/.test(text), {
    message: 'must be an RFC 3339 instant or a relative time such as +10d, -12h, +30m',
  })
  .refine((text) => RELATIVE.test(text) || !Number.isNaN(Date.parse(text)), {
    message: 'is not a real instant',
  })

const resourceId = z.string().regex(RESOURCE_ID, 'must be 32 lower-case hexadecimal digits')
const host = z
  .string()
  .refine(
    (text) => /^(\*\.)?([a-z0-9_-]{1,63}\.)+[a-z0-9-]{1,63}$/.test(looked(text)),
    'must be a host name or a wildcard',
  )
const actions = z.array(z.string()).optional()

const generate = z.strictObject({
  /** Default: the hosts of all domains that refer to it. */
  names: z.array(z.string()).optional(),
  commonName: z.string().optional(),
  notBefore: instant.optional(),
  notAfter: instant.optional(),
  key: z.enum(['RSA-2048', 'RSA-3072', 'P-256', 'P-384']).optional(),
  /** `intermediate` (default): with a chain of one; `root`: without. */
  issuer: z.enum(['intermediate', 'root']).optional(),
})

const material = {
  generate: generate.optional(),
  /** Leaf, then intermediates. */
  certificatePem: z.string().optional(),
  privateKeyPem: z.string().optional(),
}

const materialIsOneOf = (it: { generate?: unknown; certificatePem?: string; privateKeyPem?: string }) =>
  (it.generate !== undefined) !== (it.certificatePem !== undefined && it.privateKeyPem !== undefined)
const materialMessage = { message: 'needs either generate, or certificatePem and privateKeyPem' }

const certificate = z
  .strictObject({
    /** Name by which domains refer to it. */
    ref: z.string().min(1),
    id: resourceId.optional(),
    name: z.string().optional(),
    scope: z.enum(['global', 'instance']).default('global'),
    ...material,
    /** CA for client certificates: PEM, or `seeded` for the seeded root. Only for scope `instance`. */
    trustedRootCa: z.string().optional(),
  })
  .refine(materialIsOneOf, materialMessage)

const domain = z.strictObject({
  id: resourceId.optional(),
  host,
  certificate: z.string().optional(),
  /** Several, of different algorithms. */
  certificates: z.array(z.string()).optional(),
  clientVerification: z.boolean().optional(),
  minSslVersion: z.enum(['TLSv1.1', 'TLSv1.2']).optional(),
})

const group = z.strictObject({
  id: resourceId.optional(),
  name: z.string().optional(),
  domains: z.array(domain).default([]),
})

const instance = z.strictObject({
  flavour: z.enum(['apig', 'roma']),
  id: z.string().regex(INSTANCE_ID, 'must be a lower-case UUID').optional(),
  name: z.string().optional(),
  groups: z.array(group).default([]),
  /**
   * Shorthand for load tests: so many domains `d<n>.<suffix>` in groups of five, bound to the named certificate or
   * to a generated wildcard.
   */
  domains: z
    .union([
      z.number().int().min(0),
      z.strictObject({
        count: z.number().int().min(0),
        suffix: host.default('load.example'),
        certificate: z.string().optional(),
      }),
    ])
    .optional(),
})

const recordSet = z.strictObject({
  name: z.string().min(1),
  type: z.enum(RECORD_TYPES),
  /** As the API takes them: TXT values carry their double quotes. */
  records: z.array(z.string()).min(1),
})

const dns = z.strictObject({
  zones: z
    .array(
      z.strictObject({
        id: resourceId.optional(),
        name: z.string().regex(/^([a-z0-9-]{1,63}\.)*[a-z0-9-]{1,63}\.?$/i, 'must be a domain name'),
        records: z.array(recordSet).default([]),
      }),
    )
    .min(1),
  pendingMs: z.number().min(0).optional(),
  propagationMs: z.union([z.number().min(0), z.literal('never')]).optional(),
  recordSetQuota: z.number().int().min(0).nullable().optional(),
  /** Of its name server; 0 (default) takes a free one. */
  port: z.number().int().min(0).max(65_535).default(0),
})

export const seedSchema = z.strictObject({
  $schema: z.string().optional(),
  region: z.string().min(1).default('eu-de'),
  project: z
    .strictObject({
      id: resourceId.optional(),
      name: z.string().optional(),
      domainId: resourceId.optional(),
      domainName: z.string().optional(),
    })
    .default({}),
  users: z
    .array(
      z.strictObject({
        id: resourceId.optional(),
        name: z.string().min(1),
        password: z.string().min(1),
        domainName: z.string().optional(),
        actions,
      }),
    )
    .default([{ name: 'emulator', password: 'emulator' }]),
  accessKeys: z
    .array(
      z.strictObject({
        id: z
          .string()
          .regex(/^[^,\s]+$/, 'must have no comma and no space')
          .optional(),
        secret: z.string().min(1).optional(),
        /** Makes it temporary; must come in `X-Security-Token`. */
        securityToken: z.string().min(1).optional(),
        expiresAt: instant.optional(),
        actions,
      }),
    )
    .default([{}]),
  tokens: z
    .array(
      z.strictObject({
        token: z.string().min(1),
        userName: z.string().optional(),
        expiresAt: instant.optional(),
        actions,
      }),
    )
    .default([]),
  rules: rulesSchema.partial().default({}),
  certificates: z.array(certificate).default([]),
  instances: z.array(instance).default([]),
  scmCertificates: z
    .array(
      z
        .strictObject({
          id: z.string().regex(SCM_ID, 'must be scs and 13 digits').optional(),
          name: z.string(),
          ...material,
        })
        .refine(materialIsOneOf, materialMessage),
    )
    .default([]),
  /** Agencies that FunctionGraph may take; without `actions` they may do everything. */
  agencies: z.array(z.strictObject({ name: z.string().min(1), actions })).default([]),
  /** Names of SMN topics. */
  topics: z.array(z.string()).default([]),
  /** With zones there is a name server on loopback that answers from them. */
  dns: dns.optional(),
})

/** What people write. Everything is optional. */
export type SeedInput = z.input<typeof seedSchema>
export type Seed = z.output<typeof seedSchema>

/** Fails with `emulator.bad-input` that names the place and, for unknown fields, the field. */
export function parseSeed(input: unknown): Seed {
  const result = seedSchema.safeParse(input)
  if (result.success) return result.data
  throw badInput(`The seed is not valid: ${sentenceOf(result.error)}`)
}

/** The first problem of a schema check as one sentence with its place. */
export function sentenceOf(error: z.ZodError): string {
  const issue = error.issues[0]!
  const place = issue.path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  )
  const where = place === '' ? 'at the top' : `at ${place}`
  if (issue.code === 'unrecognized_keys') {
    return `${where} there is no field ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}`
  }
  return `${where}: ${issue.message}`
}

/** A date of the seed at the emulator's present. */
export function resolveInstant(text: string, now: Date): Date {
  const match = RELATIVE.exec(text)
  if (match === null) return new Date(text)
  const amount = Number(match[2]) * UNITS[match[3] as keyof typeof UNITS]
  return new Date(now.getTime() + (match[1] === '-' ? -amount : amount))
}
