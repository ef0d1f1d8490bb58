import { gatewayService } from './gateway-routes.ts'

/** ROMA Connect's API service, `/v2/{project_id}/apic/…`. */
export const roma = gatewayService('roma')
