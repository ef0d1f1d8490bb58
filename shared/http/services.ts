/** The cloud services this tool calls; the key is also the name under `cloud.endpoints` in rotation.yaml. */
export type ServiceName = 'apig' | 'roma' | 'scm' | 'iam' | 'smn' | 'dns' | 'functiongraph'

export interface Service {
  /** First part of the failure codes, for example `gateway` in `gateway.refused`. */
  area: string
  /** How people call the service. */
  title: string
}

export const services: Record<ServiceName, Service> = {
  apig: { area: 'gateway', title: 'APIG' },
  roma: { area: 'gateway', title: 'ROMA Connect' },
  scm: { area: 'manager', title: 'SCM' },
  iam: { area: 'iam', title: 'IAM' },
  smn: { area: 'notify', title: 'SMN' },
  dns: { area: 'dns', title: 'DNS' },
  functiongraph: { area: 'functiongraph', title: 'FunctionGraph' },
}
