import { systemClock } from '../../shared/base/clock.ts'
import type { Secret } from '../../shared/base/secret.ts'
import { loadConfig } from '../../shared/config/load.ts'
import type { Flavour } from '../../shared/gateway/port.ts'
import { findProjectId } from '../../shared/http/auth.ts'
import { openWiring, type Wiring } from '../../shared/wire/cloud.ts'
import type { SurveyedGateway } from './draft.ts'
import { terminalLog } from './session.ts'

/** What is needed to look at an account. */
export interface Access {
  region: string
  projectId: string | undefined
  endpoints?: Record<string, string>
  key: { id: string; secret: Secret; securityToken?: Secret | undefined }
}

/** Every gateway of the project with its domains and what is bound to them; nothing is changed. */
export async function surveyAccount(
  access: Access,
): Promise<{ projectId: string; gateways: SurveyedGateway[] }> {
  const found =
    access.projectId ??
    (await withWiring(access, (wiring) => findProjectId(wiring.http('iam'), access.region)))
  const gateways = await withWiring({ ...access, projectId: found }, (wiring) => survey(wiring, found))
  return { projectId: found, gateways }
}

async function withWiring<T>(access: Access, work: (wiring: Wiring) => Promise<T>): Promise<T> {
  const wiring = await open(access)
  try {
    return await work(wiring)
  } finally {
    await wiring.close()
  }
}

/** Loaded as any config is, so that a wrong region or project is told in the same words. */
function open({ region, projectId, endpoints, key }: Access): Promise<Wiring> {
  const { id, secret, securityToken } = key
  const accessKey = { id, secret: '${SECRET}', ...(securityToken ? { securityToken: '${TOKEN}' } : {}) }
  const cloud = {
    region,
    ...(projectId ? { projectId } : {}),
    auth: { accessKey },
    ...(endpoints ? { endpoints } : {}),
  }
  const environment = { SECRET: secret.reveal(), ...(securityToken ? { TOKEN: securityToken.reveal() } : {}) }
  return openWiring({
    config: loadConfig(JSON.stringify({ cloud, store: { directory: '.' }, certificates: {} }), {
      file: 'what was answered',
      environment,
    }),
    folder: process.cwd(),
    clock: systemClock,
    random: Math.random,
    log: terminalLog({ config: '', json: false, quiet: false }),
    owner: 'init',
  })
}

async function survey(wiring: Wiring, projectId: string): Promise<SurveyedGateway[]> {
  const flavours: Flavour[] = ['apig', 'roma']
  const instances = (await Promise.all(flavours.map((flavour) => wiring.instances(flavour)))).flat()
  const { createGateway } = await import('../../shared/gateway/http.ts')
  return Promise.all(
    instances.map(async ({ flavour, id, name }) => {
      const gateway = createGateway({
        flavour,
        instanceId: id,
        scope: 'instance',
        projectId,
        http: wiring.http(flavour),
      })
      const [domains, certificates] = await Promise.all([gateway.domains(), gateway.certificates()])
      const byId = new Map(certificates.map((one) => [one.id, one]))
      return {
        flavour,
        instanceId: id,
        name,
        domains: domains.map(({ host, certificates: bound }) => {
          const known = bound.flatMap((one) => byId.get(one.id) ?? [])[0]
          return { host, ...(known ? { bound: { names: known.names, notAfter: known.notAfter } } : {}) }
        }),
      }
    }),
  )
}
