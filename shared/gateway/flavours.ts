import type { ServiceName } from '../http/services.ts'
import type { Flavour } from './port.ts'

/** What differs between the two products that speak the same API. */
export interface FlavourRow {
  service: Extract<ServiceName, 'apig' | 'roma'>
  /** `/v2/{project_id}/<this>`. */
  prefix: string
  /** `ssl_id` of a domain is filled for an RSA certificate only (APIG), or for whichever is bound (ROMA). */
  sslIdMeansRsa: boolean
  /** Whether "add certificate to a domain" knows scope and trusted root CA (ROMA) or three fields only (APIG). */
  addTakesScope: boolean
}

/** Sources: ApigClient of huaweicloud-sdk-nodejs-v3, RomaClient of huaweicloud-sdk-python-v3, both API references. */
export const flavours: Record<Flavour, FlavourRow> = {
  apig: { service: 'apig', prefix: 'apigw', sslIdMeansRsa: true, addTakesScope: false },
  roma: { service: 'roma', prefix: 'apic', sslIdMeansRsa: false, addTakesScope: true },
}
