import { isOpenTelekomCloud } from '../shared/config/endpoints.ts'
import type { Config } from '../shared/config/schema.ts'

/** Who gets a policy. */
export type Role = 'agency' | 'deployer' | 'installer' | 'uploader'
export type Cloud = 'huawei-cloud' | 'open-telekom-cloud'

export const cloudOf = (region: string): Cloud =>
  isOpenTelekomCloud(region) ? 'open-telekom-cloud' : 'huawei-cloud'

/** What a config can ask of the agency. */
const PURPOSES = [
  'gateways with flavour apig',
  'strategy update with flavour apig',
  'gateways with flavour roma',
  'strategy update with flavour roma',
  'push',
  'push to CDN',
  'alerts by SMN',
  'renewal with dns-01',
  'cloud without projectId',
  'store',
] as const
export type Purpose = (typeof PURPOSES)[number]

interface Permission {
  /** `service:resource:operation`, as FunctionGraph, APIG, SCM, DNS, SMN, IAM and OBS name them. */
  action: string
  /** Not every part is used by everybody. Of the agency: what has to be in rotation.yaml for it to be needed. */
  for: string
  /** OBS only: below which folder of the bucket. */
  folder?: string
}

/**
 * The calls that the code really makes, by who makes them. The policies below are made of this list alone, and a test
 * compares it with what the emulator saw. Names of APIG's actions: "Permissions and supported actions" of API
 * Gateway, which since September 2024 must be named one by one; of FunctionGraph's: the same page of FunctionGraph.
 */
export const permissions: Record<Exclude<Role, 'agency'>, Permission[]> & {
  agency: (Permission & { for: Purpose })[]
} = {
  agency: [
    ...gateway('apig'),
    // Only Open Telekom Cloud's list of binding's dependencies has it; an action that exists on both.
    { action: 'apig:domains:get', for: 'gateways with flavour apig' },
    ...gateway('roma'),
    // "Permissions policies and supported actions" of CCM, for policies of version 1.1: import is `upload` there. The
    // page has no row for deployed-resources; `list` is what reads.
    ...named('scm:cert:', ['upload', 'list', 'push', 'delete'], 'push' as const),
    { action: 'cdn:configuration:queryHttpsConf', for: 'push to CDN' },
    { action: 'smn:topic:publish', for: 'alerts by SMN' },
    ...named(
      'dns:',
      ['zone:list', 'recordset:list', 'recordset:create', 'recordset:update', 'recordset:delete'],
      'renewal with dns-01' as const,
    ),
    ...projects('cloud without projectId' as const),
    { action: 'obs:bucket:ListBucket', for: 'store' },
    // `doctor` tells of a bucket that keeps every private key.
    { action: 'obs:bucket:GetBucketVersioning', for: 'store' },
    { action: 'obs:object:GetObject', for: 'store' },
    // Not config/: whoever can write a bundle's folder must not be able to change what is done with it.
    ...['incoming/', 'deployed/', 'rejected/', 'renew/', 'state/', 'status/'].flatMap((folder) =>
      ['PutObject', 'DeleteObject'].map((name) => ({
        action: `obs:object:${name}`,
        for: 'store' as const,
        folder,
      })),
    ),
  ],
  deployer: deploying(),
  // `setup` and `remove --all`: the deployer's, and what is made once.
  installer: [
    ...deploying(),
    ...named('iam:agencies:', ['createAgency', 'deleteAgency'], 'the agency'),
    ...named('iam:roles:', ['listRoles', 'createRole', 'updateRole', 'deleteRole'], "the agency's policies"),
    ...named(
      'iam:permissions:',
      ['listRolesForAgency', 'grantRoleToAgency', 'revokeRoleFromAgency'].flatMap((name) => [
        `${name}OnProject`,
        `${name}OnDomain`,
      ]),
      "the agency's policies",
    ),
    ...named('smn:topic:', ['list', 'create', 'delete'], 'the failure destination'),
    ...named('obs:bucket:', ['CreateBucket', 'DeleteBucket'], 'the bucket'),
    // Emptying it, where its name was typed.
    { action: 'obs:object:DeleteObject', for: 'the bucket' },
  ],
  uploader: [{ action: 'obs:object:PutObject', for: 'dropping bundles', folder: 'incoming/' }],
}

function deploying(): Permission[] {
  return [
    ...named(
      'functiongraph:',
      [
        'function:create',
        'function:getConfig',
        'function:getCode',
        'function:updateConfig',
        'function:updateCode',
        'function:delete',
        'function:createVersion',
        'function:listVersion',
        'function:getAsyncConfig',
        'function:updateAsyncConfig',
        'function:invoke',
        'trigger:create',
        'trigger:list',
        'trigger:update',
        'trigger:delete',
      ],
      'deploy, remove, invoke, info',
    ),
    { action: 'lts:logs:list', for: 'logs' },
    ...projects('a deployment without projectId'),
    // Whether it is there; where looking is not allowed, a deployment goes on without.
    { action: 'iam:agencies:listAgencies', for: 'agency' },
    // A function can only be given an agency by somebody who may pass it on.
    { action: 'iam:agencies:pass', for: 'agency' },
    ...named('obs:bucket:', ['HeadBucket', 'ListBucket'], 'the config'),
    ...named('obs:object:', ['GetObject', 'PutObject', 'DeleteObject'], 'the config').map((one) => ({
      ...one,
      folder: 'config/',
    })),
    // FunctionGraph sets up the bucket's notification in the deployer's name.
    ...named('obs:bucket:', ['GetBucketNotification', 'PutBucketNotification'], 'the OBS trigger'),
  ]
}

function named<For extends string>(service: string, names: readonly string[], use: For) {
  return names.map((name) => ({ action: `${service}${name}`, for: use }))
}

/** The same call has another name on each cloud. */
function projects<For extends string>(use: For) {
  return named('iam:projects:', ['listProjects', 'listProjectsForUser'], use)
}

function gateway(service: 'apig' | 'roma') {
  return [
    ...named(
      `${service}:`,
      [
        'instances:get',
        'groups:get',
        'groups:list',
        'certificate:create',
        'certificate:list',
        'certificate:get',
        'certificate:delete',
        'certificate:listBoundDomain',
        'domains:bindCertificate',
        'domains:unbindCertificate',
      ],
      `gateways with flavour ${service}` as const,
    ),
    { action: `${service}:certificate:update`, for: `strategy update with flavour ${service}` as const },
  ]
}

/**
 * What each cloud's own list has. Open Telekom Cloud has no SCM, no CDN and no ROMA Connect; its API Gateway knows no
 * action for certificates, and its IAM neither `pass` nor `listProjects`.
 */
const OFFERED: Record<Cloud, (action: string) => boolean> = {
  'huawei-cloud': (action) => action !== 'iam:projects:listProjectsForUser',
  'open-telekom-cloud': (action) =>
    !/^(scm|roma|cdn):|^apig:certificate:|^iam:(projects:listProjects|agencies:pass)$/.test(action),
}

/** A custom policy of version 1.1, as IAM takes it. */
export interface Policy {
  Version: '1.1'
  Statement: { Effect: 'Allow'; Action: string[]; Resource?: string[] }[]
}

/** The agency's purposes that a config has. The failure destination is told in the agency's name: SMN always. */
export function purposesOf(config: Config): Set<Purpose> {
  const has = new Set<Purpose>(['alerts by SMN'])
  if (config.store.bucket !== undefined) has.add('store')
  if (config.cloud?.projectId === undefined) has.add('cloud without projectId')
  for (const { gateways, push, renew } of Object.values(config.certificates)) {
    for (const { flavour, strategy } of gateways) {
      has.add(`gateways with flavour ${flavour}`)
      if (strategy === 'update') has.add(`strategy update with flavour ${flavour}`)
    }
    if (push.length > 0) has.add('push')
    if (push.some(({ service }) => service === 'CDN')) has.add('push to CDN')
    if (renew && [renew.acme].flat().some(({ dns }) => dns !== undefined)) has.add('renewal with dns-01')
  }
  return has
}

/** The least that the agency needs for exactly this config. */
export function agencyPolicies(config: Config, cloud: Cloud): Record<string, Policy> {
  const has = purposesOf(config)
  const policies = policiesOf(
    permissions.agency.filter((permission) => has.has(permission.for)),
    cloud,
    config.store.bucket,
  )
  const sites = Object.values(config.certificates).flatMap(({ renew }) =>
    renew ? [renew.acme].flat().flatMap(({ http }) => http ?? []) : [],
  )
  const placed = new Set(
    sites.map(({ bucket, prefix }) => `OBS:*:*:object:${bucket}/${prefix.replace(/^\/+/, '')}*`),
  )
  if (placed.size > 0 && policies.storage)
    policies.storage.Statement.push({
      Effect: 'Allow',
      Action: ['obs:object:DeleteObject', 'obs:object:GetObject', 'obs:object:PutObject'],
      Resource: [...placed],
    })
  return policies
}

/** Everything that a role can need, by the level at which it is granted: `project`, `iam`, `storage`. */
export function policy(role: Role, cloud: Cloud): Record<string, Policy> {
  return policiesOf(permissions[role], cloud)
}

function policiesOf(
  list: readonly Permission[],
  cloud: Cloud,
  bucket = 'my-certificates',
): Record<string, Policy> {
  const wanted = list.filter(({ action }) => OFFERED[cloud](action))
  const of = (service: RegExp) => wanted.filter(({ action }) => service.test(action))
  // OBS and IAM are global services, the others belong to a project: IAM takes no policy that mixes them.
  const parts = {
    project: allow(of(/^(?!obs:|iam:)/)),
    iam: allow(of(/^iam:/)),
    storage: statements(of(/^obs:/), bucket),
  }
  return Object.fromEntries(
    Object.entries(parts)
      .filter(([, statement]) => statement.length > 0)
      .map(([part, Statement]) => [part, { Version: '1.1', Statement }]),
  )
}

function allow(list: Permission[], ...resources: string[]): Policy['Statement'] {
  if (list.length === 0) return []
  return [{ Effect: 'Allow', Action: names(list), ...(resources.length > 0 ? { Resource: resources } : {}) }]
}

function statements(storage: Permission[], bucket: string): Policy['Statement'] {
  const objects = storage.filter(({ action }) => action.startsWith('obs:object:'))
  const object = (folder = '') => `OBS:*:*:object:${bucket}/${folder}*`
  const folders = [...new Set(objects.flatMap(({ folder }) => (folder === undefined ? [] : [folder])))]
  return [
    ...allow(
      storage.filter(({ action }) => action.startsWith('obs:bucket:')),
      `OBS:*:*:bucket:${bucket}`,
    ),
    ...allow(
      objects.filter(({ folder }) => folder === undefined),
      object(),
    ),
    ...allow(
      objects.filter(({ folder }) => folder !== undefined),
      ...folders.map(object),
    ),
  ]
}

function names(list: Permission[]): string[] {
  return [...new Set(list.map(({ action }) => action))].toSorted()
}

/** As the project's formatter lays it out: a list of names that fits into a line stands in one. */
export function layOut(document: unknown): string {
  const text = JSON.stringify(document, null, 2).replace(
    /^(.*)\[\n\s+("[^\]{]*?")\n\s+\]/gm,
    (whole, head: string, list: string) => {
      const line = `${head}[${list.replace(/\s*\n\s*/g, ' ')}]`
      return line.length <= 110 ? line : whole
    },
  )
  return `${text}\n`
}

/** Every file of policies/ by its name. */
export function policyFiles(): Record<string, string> {
  const files: Record<string, string> = {}
  for (const cloud of Object.keys(OFFERED) as Cloud[])
    for (const role of Object.keys(permissions) as Role[])
      for (const [part, document] of Object.entries(policy(role, cloud)))
        files[`${role}-${part}.${cloud}.json`] = layOut(document)
  return files
}
