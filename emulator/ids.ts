import { randomBytes, randomInt, randomUUID } from 'node:crypto'

/** Certificates, groups and domains: 32 lower-case hex digits. */
export const RESOURCE_ID = /^[0-9a-f]{32}$/
/** Gateways: a UUID. */
export const INSTANCE_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** SCM certificates: `scs` and 13 digits, 16 characters in all. */
export const SCM_ID = /^scs\d{13}$/

export const newResourceId = (): string => randomBytes(16).toString('hex')
export const newInstanceId = (): string => randomUUID()
export const newRequestId = (): string => randomBytes(16).toString('hex')
export const newScmId = (): string =>
  `scs${Array.from({ length: 13 }, (_, i) => randomInt(i === 0 ? 1 : 0, 10)).join('')}`
export const newToken = (): string => `EMULATOR-TOKEN-${randomBytes(48).toString('base64url')}`
