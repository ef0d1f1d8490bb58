/** Base addresses without a trailing slash. Undefined: the service is not offered in that region. */
export interface Endpoints {
  iam: string
  apig: string | undefined
  roma: string | undefined
  scm: string | undefined
  smn: string
  dns: string
  functiongraph: string | undefined
  obs: string
}

export type EndpointOverrides = { readonly [Service in keyof Endpoints]?: string | undefined }

/** Open Telekom Cloud's endpoint table lists API gateway and FunctionGraph for eu-de only; no SCM, no ROMA. */
const OTC_REGIONS = ['eu-de', 'eu-nl']

/**
 * Where the services of a region answer. Huawei Cloud's European region is a cloud of its own under
 * `.myhuaweicloud.eu`. SCM exists in three places only (region file of the official SDK): the one of the
 * account's site serves every region, and none of them takes credentials of the European site.
 */
export function endpointsFor(region: string, overrides: EndpointOverrides = {}): Endpoints {
  return { ...derived(region), ...given(overrides) }
}

export function isOpenTelekomCloud(region: string): boolean {
  return OTC_REGIONS.includes(region)
}

function derived(region: string): Endpoints {
  if (isOpenTelekomCloud(region)) {
    const at = (service: string) => `https://${service}.${region}.otc.t-systems.com`
    const main = region === 'eu-de'
    return {
      iam: at('iam'),
      apig: main ? at('apig') : undefined,
      roma: undefined,
      scm: undefined,
      smn: at('smn'),
      dns: at('dns'),
      functiongraph: main ? at('functiongraph') : undefined,
      obs: at('obs'),
    }
  }
  const european = region.startsWith('eu-west-')
  const suffix = european ? 'myhuaweicloud.eu' : 'myhuaweicloud.com'
  const at = (service: string) => `https://${service}.${region}.${suffix}`
  return {
    iam: at('iam'),
    apig: at('apig'),
    roma: at('roma'),
    scm: european ? undefined : `https://scm.${scmRegion(region)}.${suffix}`,
    smn: at('smn'),
    dns: at('dns'),
    functiongraph: at('functiongraph'),
    obs: at('obs'),
  }
}

function scmRegion(region: string): string {
  if (region === 'my-kualalumpur-1') return region
  return region.startsWith('cn-') ? 'cn-north-4' : 'ap-southeast-1'
}

function given(overrides: EndpointOverrides): Partial<Endpoints> {
  const set = Object.entries(overrides).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return Object.fromEntries(set.map(([service, address]) => [service, address.replace(/\/+$/, '')]))
}
