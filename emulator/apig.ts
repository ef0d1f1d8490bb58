import { gatewayService } from './gateway-routes.ts'

/** API Gateway (dedicated), `/v2/{project_id}/apigw/…`. */
export const apig = gatewayService('apig')
