import type { Authority } from './authority.ts'
import type { CertificateFacts } from './certificate-reader.ts'
import type { EmulatorClock } from './clock.ts'
import { type EdgeView, publish } from './edge-view.ts'
import { looked } from './host-name.ts'
import { newResourceId, newScmId } from './ids.ts'
import type { Rules } from './rules.ts'

export type Flavour = 'apig' | 'roma'

export interface GatewayCertificate {
  id: string
  flavour: Flavour
  name: string
  /** Undefined for a global certificate. */
  instanceId: string | undefined
  certificatePem: string
  privateKeyPem: string
  trustedRootCaPem: string | undefined
  facts: CertificateFacts
  createdAt: Date
  updatedAt: Date
}

export interface Domain {
  id: string
  /** As it was given: the gateways keep upper case, a final dot, U-labels. */
  host: string
  /** As a client asks for it. */
  looked: string
  flavour: Flavour
  instanceId: string
  groupId: string
  /** At most one per algorithm, unless rule `attachOverOther` keeps both; the oldest binding first. */
  certificates: GatewayCertificate[]
  clientVerification: boolean
  minSslVersion: 'TLSv1.1' | 'TLSv1.2'
  redirect: boolean
  httpPort: number
  httpsPort: number
  /** What the TLS edge shows of it, now and soon. */
  view: EdgeView
  /** Since when it has been without any certificate after a detach. */
  openGap: Gap | undefined
}

/** A time during which a domain that had a certificate had none: from the detach's effect to the attach's. */
export interface Gap {
  host: string
  instanceId: string
  from: string
  /** Null while it lasts. */
  to: string | null
  durationMs: number | null
  startedAt: number
}

export interface Group {
  id: string
  name: string
  instanceId: string
  createdAt: Date
  domains: Map<string, Domain>
}

export interface Instance {
  id: string
  name: string
  flavour: Flavour
  createdAt: Date
  groups: Map<string, Group>
}

export interface ScmCertificate {
  id: string
  name: string
  facts: CertificateFacts
  enterpriseProjectId: string
  createdAt: Date
  /** Resources that `deploy` put it on. */
  deployments: { service: string; project: string; resource: string }[]
}

/** One copy that a push made in a target. */
export interface Push {
  certificateId: string
  service: 'CDN' | 'WAF' | 'ELB'
  project: string
  at: string
  /** Id of the copy in the target. */
  resourceId: string
}

export interface User {
  id: string
  name: string
  domainName: string
  password: string
  actions: string[] | undefined
}

export interface AccessKey {
  id: string
  secret: string
  /** Set for temporary keys. */
  securityToken: string | undefined
  expiresAt: Date | undefined
  actions: string[] | undefined
  /** Of an agency: what it may do is what its policies say. */
  agencyId?: string
}

export interface Token {
  userName: string
  projectId: string | undefined
  expiresAt: Date
  actions: string[] | undefined
  agencyId?: string
}

export interface Topic {
  urn: string
  name: string
  displayName: string
}

export interface PublishedMessage {
  at: string
  topicUrn: string
  messageId: string
  subject: string | undefined
  message: string | undefined
  messageStructure: Record<string, unknown> | undefined
}

/** The emulated cloud's whole state. Handlers change it only through methods or call `touch`. */
export class World {
  readonly clock: EmulatorClock
  rules: Rules
  readonly project: { id: string; name: string; domainId: string; domainName: string }
  readonly region: string
  readonly root: Authority
  readonly intermediate: Authority

  readonly instances = new Map<string, Instance>()
  readonly certificates: Record<Flavour, Map<string, GatewayCertificate>> = {
    apig: new Map(),
    roma: new Map(),
  }
  readonly gaps: Gap[] = []
  readonly scm = new Map<string, ScmCertificate>()
  readonly pushes: Push[] = []
  readonly topics = new Map<string, Topic>()
  readonly messages: PublishedMessage[] = []
  readonly users: User[] = []
  readonly accessKeys = new Map<string, AccessKey>()
  readonly tokens = new Map<string, Token>()
  /** Ids of seeded certificates by the seed's `ref`. */
  readonly certificateRefs = new Map<string, GatewayCertificate[]>()
  /** State of services that live in a file of their own, by service name. */
  readonly extensions = new Map<string, unknown>()
  /** Grows with every change, so that a call can tell whether it had an effect. */
  revision = 0

  constructor(init: Pick<World, 'clock' | 'rules' | 'project' | 'region' | 'root' | 'intermediate'>) {
    this.clock = init.clock
    this.rules = init.rules
    this.project = init.project
    this.region = init.region
    this.root = init.root
    this.intermediate = init.intermediate
  }

  touch(): void {
    this.revision += 1
  }

  *domains(): Generator<Domain> {
    for (const instance of this.instances.values()) {
      for (const group of instance.groups.values()) yield* group.domains.values()
    }
  }

  boundDomains(certificate: GatewayCertificate): Domain[] {
    return [...this.domains()].filter((domain) => domain.certificates.includes(certificate))
  }

  addCertificate(
    init: Omit<GatewayCertificate, 'id' | 'createdAt' | 'updatedAt'> & { id?: string },
  ): GatewayCertificate {
    const now = this.clock.now()
    const certificate = { ...init, id: init.id ?? newResourceId(), createdAt: now, updatedAt: now }
    this.certificates[init.flavour].set(certificate.id, certificate)
    this.touch()
    return certificate
  }

  removeCertificate(certificate: GatewayCertificate): void {
    this.certificates[certificate.flavour].delete(certificate.id)
    this.touch()
  }

  addDomain(
    group: Group,
    init: { id?: string; host: string; minSslVersion?: Domain['minSslVersion'] },
  ): Domain {
    const domain: Domain = {
      id: init.id ?? newResourceId(),
      host: init.host,
      looked: looked(init.host),
      flavour: this.instances.get(group.instanceId)!.flavour,
      instanceId: group.instanceId,
      groupId: group.id,
      certificates: [],
      clientVerification: false,
      minSslVersion: init.minSslVersion ?? 'TLSv1.1',
      redirect: false,
      httpPort: 80,
      httpsPort: 443,
      view: [],
      openGap: undefined,
    }
    group.domains.set(domain.id, domain)
    this.touch()
    return domain
  }

  removeDomain(domain: Domain): void {
    this.#closeGap(domain)
    this.instances.get(domain.instanceId)?.groups.get(domain.groupId)?.domains.delete(domain.id)
    this.touch()
  }

  /** Binds; certificates of the same algorithm give way, unless the rule keeps both. Nothing happens where all is so already. */
  bind(domain: Domain, certificate: GatewayCertificate, clientVerification: boolean): void {
    const isBound = domain.certificates.includes(certificate)
    if (isBound && domain.clientVerification === clientVerification) return
    if (!isBound) {
      const stays = (one: GatewayCertificate) =>
        one.facts.algorithm !== certificate.facts.algorithm || this.rules.attachOverOther === 'keep-both'
      domain.certificates = [...domain.certificates.filter(stays), certificate]
    }
    domain.clientVerification = clientVerification
    this.#closeGap(domain)
    publish(this, domain, this.rules.visibilityDelayMs)
    this.touch()
  }

  unbind(domain: Domain, certificate: GatewayCertificate): void {
    domain.certificates = domain.certificates.filter((one) => one !== certificate)
    if (!domain.certificates.some((one) => one.trustedRootCaPem !== undefined))
      domain.clientVerification = false
    if (domain.certificates.length === 0) this.#openGap(domain)
    publish(this, domain, this.rules.detachVisibility === 'immediate' ? 0 : this.rules.visibilityDelayMs)
    this.touch()
  }

  /** After a certificate changed in place: every domain it is bound to shows the change later. */
  republish(certificate: GatewayCertificate): void {
    for (const domain of this.boundDomains(certificate)) publish(this, domain, this.rules.visibilityDelayMs)
    this.touch()
  }

  /** After a domain's settings changed. */
  showLater(domain: Domain): void {
    publish(this, domain, this.rules.visibilityDelayMs)
    this.touch()
  }

  /** Puts a domain's state before the clients' eyes at once; for seeds. */
  showNow(domain: Domain): void {
    publish(this, domain, 0)
  }

  addScmCertificate(
    init: Omit<ScmCertificate, 'id' | 'createdAt' | 'deployments'> & { id?: string },
  ): ScmCertificate {
    const certificate: ScmCertificate = {
      ...init,
      id: init.id ?? newScmId(),
      createdAt: this.clock.now(),
      deployments: [],
    }
    this.scm.set(certificate.id, certificate)
    this.touch()
    return certificate
  }

  #openGap(domain: Domain): void {
    const gap: Gap = {
      host: domain.host,
      instanceId: domain.instanceId,
      from: this.clock.now().toISOString(),
      to: null,
      durationMs: null,
      startedAt: this.clock.monotonic(),
    }
    domain.openGap = gap
    this.gaps.push(gap)
  }

  #closeGap(domain: Domain): void {
    const gap = domain.openGap
    if (gap === undefined) return
    gap.to = this.clock.now().toISOString()
    gap.durationMs = Math.round((this.clock.monotonic() - gap.startedAt) * 1000) / 1000
    domain.openGap = undefined
  }
}
