import { Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { silentLog } from '../base/log.ts'
import type { HttpClient, HttpReply, HttpRequest } from '../http/client.ts'
import { recoded } from '../http/failures.ts'
import { flavours } from './flavours.ts'
import { listAll, read, readWith } from './paging.ts'
import type {
  AttachedDomain,
  CertificateMaterial,
  DomainRef,
  Flavour,
  Gateway,
  GatewayCertificate,
  Scope,
} from './port.ts'
import type { GatewayAct } from './refusals.ts'
import { refined } from './refusals.ts'
import type { GroupDomain } from './wire-types.ts'
import { readAttachedDomain, readCertificate, readGroupDomains, readId } from './wire-types.ts'

export interface GatewayOptions {
  flavour: Flavour
  instanceId: string
  scope: Scope
  projectId: string
  /** Made for the flavour's service: `createHttpClient({ service: flavours[flavour].service, … })`. */
  http: HttpClient
  log?: Log
}

/** APIG or ROMA Connect over HTTP: the promises are those of `Gateway`. API pages: "SSL Certificate Management". */
export function createGateway(options: GatewayOptions): Gateway {
  const { flavour, instanceId, scope, http } = options
  const row = flavours[flavour]
  const log = options.log ?? silentLog
  const description = `${flavour} ${instanceId}`
  const base = `/v2/${encodeURIComponent(options.projectId)}/${row.prefix}`
  const groupsPath = `${base}/instances/${encodeURIComponent(instanceId)}/api-groups`
  const certificatesPath = `${base}/certificates`
  const certificatePath = (id: string) => `${certificatesPath}/${encodeURIComponent(id)}`
  const domainPath = (ref: DomainRef) =>
    `${groupsPath}/${encodeURIComponent(ref.groupId)}/domains/${encodeURIComponent(ref.domainId)}`

  async function call(act: GatewayAct, request: HttpRequest, signal?: AbortSignal): Promise<HttpReply> {
    try {
      return await http.request({
        ...request,
        operation: `${request.operation} at ${description}`,
        ...(signal === undefined ? {} : { signal }),
      })
    } catch (thrown) {
      throw refined(thrown, act)
    }
  }

  /** Undefined instead of a failure where the thing itself is not there; a missing instance stays a failure. */
  async function callOrMissing(request: HttpRequest, signal?: AbortSignal): Promise<HttpReply | undefined> {
    try {
      return await call('look-up', request, signal)
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.code === 'gateway.not-found') return undefined
      throw thrown
    }
  }

  async function groupDomains(signal?: AbortSignal): Promise<GroupDomain[]> {
    const request: HttpRequest = {
      operation: 'list API groups',
      method: 'GET',
      path: groupsPath,
      permission: 'apig:groups:list',
    }
    try {
      const { rows, reply } = await listAll(request, 'groups', (page) => call('look-up', page, signal))
      return rows.flatMap((group) => readWith(reply, () => readGroupDomains(group, row)))
    } catch (thrown) {
      // The only thing that can be missing on this path is the instance.
      if (!(thrown instanceof Failure) || thrown.code !== 'gateway.not-found') throw thrown
      throw recoded(thrown, {
        code: 'gateway.unknown-instance',
        kind: 'never',
        next: 'Check gateways[].instanceId, cloud.region and cloud.projectId in rotation.yaml.',
      })
    }
  }

  async function certificate(id: string, signal?: AbortSignal): Promise<GatewayCertificate | undefined> {
    const reply = await callOrMissing(
      {
        operation: `show certificate ${id}`,
        method: 'GET',
        path: certificatePath(id),
        permission: 'apig:certificate:get',
      },
      signal,
    )
    return reply === undefined ? undefined : read(reply, (body) => readCertificate(body, scope))
  }

  async function listCertificates(request: HttpRequest, signal?: AbortSignal): Promise<GatewayCertificate[]> {
    const { rows, reply } = await listAll(request, 'certs', (page) => call('look-up', page, signal))
    return rows.map((one) => readWith(reply, () => readCertificate(one, scope)))
  }

  async function attachedDomains(certificateId: string, signal?: AbortSignal): Promise<AttachedDomain[]> {
    const { rows, reply } = await listAll(
      {
        operation: `list domains of certificate ${certificateId}`,
        method: 'GET',
        path: `${certificatePath(certificateId)}/attached-domains`,
        permission: 'apig:certificate:listBoundDomain',
      },
      'bound_domains',
      (page) => callOrMissing(page, signal),
    )
    const domains = rows.map((one) => readWith(reply, () => readAttachedDomain(one)))
    // One entry per port of the same name.
    const byName = new Map<string, AttachedDomain>()
    for (const domain of domains) {
      const key = `${domain.instanceId ?? ''} ${domain.groupId} ${domain.host}`
      if (!byName.has(key)) byName.set(key, domain)
    }
    return [...byName.values()]
  }

  /** The part of a body that says where a certificate belongs; only an instance's own takes a CA. */
  function placed(material: CertificateMaterial, where: Scope): Record<string, string> {
    if (where === 'instance') {
      return {
        type: 'instance',
        instance_id: instanceId,
        ...(material.trustedRootCaPem === undefined ? {} : { trusted_root_ca: material.trustedRootCaPem }),
      }
    }
    if (material.trustedRootCaPem !== undefined) throw noTrustedRootCa('a global certificate')
    return { type: 'global' }
  }

  function noTrustedRootCa(holder: string): Failure {
    return new Failure({
      code: 'gateway.refused',
      kind: 'never',
      message: `The bundle brings a CA for client certificates, which ${holder} at ${description} cannot hold`,
      next: 'Use `scope: instance` with strategy rebind or update for this gateway, or leave the CA out of the bundle.',
    })
  }

  return {
    flavour,
    instanceId,
    scope,
    description,

    async domains(signal) {
      return (await groupDomains(signal)).map(({ binding }) => binding)
    },

    async domain(ref, signal) {
      const reply = await callOrMissing(
        {
          operation: `show API group ${ref.groupId}`,
          method: 'GET',
          path: `${groupsPath}/${encodeURIComponent(ref.groupId)}`,
          permission: 'apig:groups:get',
        },
        signal,
      )
      if (reply === undefined) return undefined
      const found = read(reply, (body) => readGroupDomains(body, row)).find(({ domainIds }) =>
        domainIds.includes(ref.domainId),
      )
      return found === undefined ? undefined : { ...found.binding, domainId: ref.domainId }
    },

    async certificates(filter = {}, signal) {
      const request: HttpRequest = {
        operation: 'list certificates',
        method: 'GET',
        path: certificatesPath,
        query: { instance_id: instanceId, name: filter.name },
        permission: 'apig:certificate:list',
      }
      const found = await listCertificates(request, signal)
      if (scope === 'global' && !found.some((one) => one.scope === 'global')) {
        // Whether the list of an instance shows global certificates too is not documented, and to miss one that a
        // crashed run created would double it: where none is shown, ask for them by themselves.
        const query = { type: 'global', name: filter.name }
        found.push(...(await listCertificates({ ...request, query }, signal).catch(noneIfRefused)))
      }
      return (
        found
          // Nobody documents whether the filter by name is exact, nor what instance_id leaves out.
          .filter((one) => filter.name === undefined || one.name === filter.name)
          .filter(
            (one) => one.scope === 'global' || one.instanceId === undefined || one.instanceId === instanceId,
          )
          .sort((a, b) => (b.createdAt?.getTime() ?? 0) - (a.createdAt?.getTime() ?? 0))
      )
    },

    certificate,
    attachedDomains,

    async create(name, material, signal) {
      const where = placed(material, scope)
      const reply = await call(
        'create',
        {
          operation: `create certificate ${name}`,
          method: 'POST',
          path: certificatesPath,
          body: {
            name,
            cert_content: material.certificatePem,
            private_key: material.privateKey.reveal(),
            ...where,
          },
          secrets: [material.privateKey],
          permission: 'apig:certificate:create',
        },
        signal,
      )
      return { id: read(reply, (body) => readId(body, 'id')) }
    },

    async add(ref, name, material, signal) {
      if (!row.addTakesScope && material.trustedRootCaPem !== undefined) {
        throw noTrustedRootCa('a certificate of strategy add')
      }
      const where = row.addTakesScope ? placed(material, scope) : {}
      const reply = await call(
        'create',
        {
          operation: `add certificate ${name} to domain ${ref.domainId}`,
          method: 'POST',
          path: `${domainPath(ref)}/certificate`,
          body: {
            name,
            cert_content: material.certificatePem,
            private_key: material.privateKey.reveal(),
            ...where,
          },
          secrets: [material.privateKey],
          permission: 'apig:domains:bindCertificate',
        },
        signal,
      )
      return { id: read(reply, (body) => readId(body, 'ssl_id')) }
    },

    async update(id, name, material, signal) {
      // Scope cannot be changed by an edit: the form must repeat what the certificate is, not what we would like.
      const present = await certificate(id, signal)
      if (present === undefined) {
        throw new Failure({
          code: 'gateway.not-found',
          kind: 'never',
          message: `Cannot update certificate ${id} at ${description}: it is not there any more`,
          next: 'Look at what is bound to the domains now; somebody may have deleted or replaced it.',
          facts: { certificateId: id },
        })
      }
      const where = placed(material, present.scope)
      await call(
        'update',
        {
          operation: `update certificate ${id}`,
          method: 'PUT',
          path: certificatePath(id),
          body: {
            name,
            cert_content: material.certificatePem,
            private_key: material.privateKey.reveal(),
            ...where,
          },
          secrets: [material.privateKey],
          permission: 'apig:certificate:update',
        },
        signal,
      )
    },

    async attach(ref, certificateId, clientVerification, signal) {
      await call(
        'attach',
        {
          operation: `attach certificate ${certificateId} to domain ${ref.domainId}`,
          method: 'POST',
          path: `${domainPath(ref)}/certificates/attach`,
          // Always said: left out, a CA in the certificate would switch client verification on.
          body: {
            certificate_ids: [certificateId],
            verified_client_certificate_enabled: clientVerification,
          },
          permission: 'apig:domains:bindCertificate',
        },
        signal,
      )
    },

    async detach(ref, certificateId, signal) {
      await call(
        'detach',
        {
          operation: `detach certificate ${certificateId} from domain ${ref.domainId}`,
          method: 'POST',
          path: `${domainPath(ref)}/certificates/detach`,
          body: { certificate_ids: [certificateId] },
          permission: 'apig:domains:unbindCertificate',
        },
        signal,
      )
    },

    async remove(certificateId, signal) {
      try {
        await call(
          'delete',
          {
            operation: `delete certificate ${certificateId}`,
            method: 'DELETE',
            path: certificatePath(certificateId),
            permission: 'apig:certificate:delete',
          },
          signal,
        )
      } catch (thrown) {
        if (!(thrown instanceof Failure)) throw thrown
        if (thrown.code === 'gateway.not-found') return
        const status = Number(thrown.facts.status)
        if (![400, 403, 409].includes(status)) throw thrown
        // Which code "still bound" has is documented nowhere: a refused delete is explained by looking.
        const domains = await attachedDomains(certificateId, signal).catch((failure: unknown) => {
          log.debug('could not look why a delete was refused', {
            certificateId,
            failure: asFailureOrNone(failure),
          })
          return []
        })
        if (domains.length === 0) throw thrown
        throw recoded(thrown, {
          code: 'gateway.in-use',
          kind: 'never',
          next: 'It is deleted by itself once nothing is bound to it any more.',
          facts: { domains: domains.map(({ host }) => host).slice(0, 10) },
        })
      }
    },
  }
}

/** The official client always sends `instance_id`, so a gateway may insist on it: then there is nothing more to see. */
function noneIfRefused(thrown: unknown): GatewayCertificate[] {
  if (thrown instanceof Failure && thrown.code === 'gateway.refused') return []
  throw thrown
}

function asFailureOrNone(thrown: unknown): Failure | undefined {
  return thrown instanceof Failure ? thrown : undefined
}
