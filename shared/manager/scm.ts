import { Failure } from '../base/failure.ts'
import type { CertificateMaterial } from '../gateway/port.ts'
import type { HttpClient, HttpReply, HttpRequest } from '../http/client.ts'
import { recoded } from '../http/failures.ts'
import type { ListedCertificate, ManagedCertificate, Manager, PushService, PushTarget } from './port.ts'
import { readCertificates, readDeployments, readImportedId, UnreadableField } from './wire-types.ts'

export interface ManagerOptions {
  /** `service: 'scm'`; with a `domainId` where it is known, because SCM signs as a service without projects. */
  http: HttpClient
}

/** SCM takes 10, 20 or 50 and nothing else. */
const PAGE_SIZE = 50
const MAX_PAGES = 200
const ALL_SERVICES: PushService[] = ['CDN', 'WAF', 'ELB']

/** SCM over HTTP: the promises are those of `Manager`. API pages: CCM API reference, "SSL Certificate Management". */
export function createManager({ http }: ManagerOptions): Manager {
  const description = `scm ${http.endpoint.host}`
  const base = '/v3/scm/certificates'
  const certificatePath = (id: string) => `${base}/${encodeURIComponent(id)}`

  async function call(request: HttpRequest, signal?: AbortSignal): Promise<HttpReply> {
    try {
      return await http.request({
        ...request,
        operation: `${request.operation} in SCM`,
        ...(signal === undefined ? {} : { signal }),
      })
    } catch (thrown) {
      throw refined(thrown)
    }
  }

  function read<T>(reply: HttpReply, reader: (body: unknown) => T): T {
    try {
      return reader(reply.body)
    } catch (thrown) {
      throw thrown instanceof UnreadableField ? reply.broken(thrown.message) : thrown
    }
  }

  async function all(filter: { content?: string }, signal?: AbortSignal): Promise<ListedCertificate[]> {
    const seen = new Map<string, ListedCertificate>()
    for (let page = 0, offset = 0; page < MAX_PAGES; page++) {
      const reply = await call(
        {
          operation:
            filter.content === undefined ? 'list certificates' : `list certificates named ${filter.content}`,
          method: 'GET',
          path: base,
          query: { limit: PAGE_SIZE, offset, ...filter },
          permission: 'scm:cert:list',
        },
        signal,
      )
      const { rows, total } = read(reply, readCertificates)
      const before = seen.size
      for (const row of rows) seen.set(row.id, row)
      offset += rows.length
      const complete = total === undefined ? rows.length < PAGE_SIZE : offset >= total
      if (complete || seen.size === before) break
    }
    return [...seen.values()]
  }

  async function deployments(id: string, services: PushService[], signal?: AbortSignal) {
    const reply = await call(
      {
        operation: `look where certificate ${id} is deployed`,
        method: 'POST',
        path: '/v3/scm/deployed-resources',
        body: { certificate_ids: [id], service_names: services },
        // A question in the form of a POST.
        idempotent: true,
        permission: 'scm:cert:list',
      },
      signal,
    )
    return { reply, found: read(reply, (body) => readDeployments(body, id)) }
  }

  return {
    description,

    list: (signal) => all({}, signal),

    async find(name, signal) {
      // `content` also finds parts of names and domains.
      const found = await all({ content: name }, signal)
      return found.flatMap((one) => (one.name === name ? [{ id: one.id, name }] : [])).sort(byAge)
    },

    async import(name, material, signal) {
      const { leaf, chain } = splitChain(material)
      const reply = await call(
        {
          operation: `import certificate ${name}`,
          method: 'POST',
          path: `${base}/import`,
          // Split, because every version of the page takes it so: older ones require `certificate_chain`, newer
          // ones allow the whole chain in `certificate`, and the documented lengths fit only when split.
          // `duplicate_check` is left out: its pages contradict each other, and `find` tells it better.
          body: {
            name,
            certificate: leaf,
            ...(chain === '' ? {} : { certificate_chain: chain }),
            private_key: material.privateKey.reveal(),
          },
          secrets: [material.privateKey],
          permission: 'scm:cert:upload',
        },
        signal,
      )
      return { id: read(reply, readImportedId), name }
    },

    async push(id, target, signal) {
      await call(
        {
          operation: `push certificate ${id} to ${target.service} in ${target.project}`,
          method: 'POST',
          path: `${certificatePath(id)}/push`,
          body: { target_project: target.project, target_service: target.service },
          permission: 'scm:cert:push',
        },
        signal,
      )
    },

    async pushed(id, services, signal) {
      if (services.length === 0) return []
      const { reply, found } = await deployments(id, [...new Set(services)], signal)
      const targets: PushTarget[] = []
      for (const { service, region, resources, uncertain } of found) {
        if (!services.includes(service)) continue
        if (resources > 0) targets.push({ service, project: region })
        else if (uncertain) {
          // "Nothing there" would be taken for leave to push a second copy.
          const cause = reply.broken(
            `it says itself that its list for ${service} in ${region} is not complete`,
          )
          throw recoded(cause, {
            code: 'manager.unavailable',
            next: 'SCM could not ask that service: it is tried again by itself.',
            facts: { pushService: service, region },
          })
        }
      }
      return targets
    },

    async remove(id, signal) {
      try {
        await call(
          {
            operation: `delete certificate ${id}`,
            method: 'DELETE',
            path: certificatePath(id),
            permission: 'scm:cert:delete',
          },
          signal,
        )
      } catch (thrown) {
        if (!(thrown instanceof Failure)) throw thrown
        if (thrown.code === 'manager.not-found') return
        if (thrown.code !== 'manager.refused' && thrown.code !== 'manager.conflict') throw thrown
        // No code for "still used" is documented: a refused delete is explained by looking.
        const used = await deployments(id, ALL_SERVICES, signal).then(
          ({ found }) => found.filter(({ resources }) => resources > 0),
          () => [],
        )
        if (used.length === 0) throw thrown
        throw recoded(thrown, {
          code: 'manager.in-use',
          kind: 'never',
          next: 'It is deleted by itself once no service uses it any more.',
          facts: { usedBy: used.map(({ service, region }) => `${service} ${region}`) },
        })
      }
    },
  }
}

/** SCM answers nearly everything with 400 and says the rest in its code (CCM API reference, "Error Codes"). */
function refined(thrown: unknown): unknown {
  if (!(thrown instanceof Failure) || thrown.code !== 'manager.refused') return thrown
  switch (thrown.facts.errorCode) {
    case 'SCM.0003':
      return recoded(thrown, {
        code: 'manager.forbidden',
        kind: 'later',
        next: 'Allow the scm:cert:* actions in the IAM policy; SCM names none.',
      })
    case 'SCM.0008':
    case 'SCM.0020':
      return recoded(thrown, {
        code: 'manager.not-found',
        next: 'SCM does not know this certificate; somebody may have deleted it.',
      })
    case 'SCM.0011':
      return recoded(thrown, { code: 'manager.quota', next: 'Delete certificates in SCM that nothing uses.' })
    case 'SCM.0014':
      return recoded(thrown, {
        next: 'The private key does not belong to the certificate: drop a matching pair.',
      })
    case 'SCM.0013':
    case 'SCM.0079':
      return recoded(thrown, {
        next: 'SCM does not take the chain: drop the leaf followed by its intermediates.',
      })
    case 'SCM.0030':
      return recoded(thrown, { next: 'Correct push[].service and push[].project in rotation.yaml.' })
    default:
      return thrown
  }
}

function splitChain(material: CertificateMaterial): { leaf: string; chain: string } {
  const blocks = material.certificatePem.match(
    /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g,
  )
  const [leaf, ...rest] = (blocks ?? [material.certificatePem]).map((block) => `${block.trim()}\n`)
  return { leaf: leaf ?? '', chain: rest.join('') }
}

/** Ids are `scs` and the milliseconds of their birth; rows carry no other date of it. */
function byAge(a: ManagedCertificate, b: ManagedCertificate): number {
  const born = ({ id }: ManagedCertificate) => BigInt(/\d+$/.exec(id)?.[0] ?? '0')
  const difference = born(a) - born(b)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}
