/** Who gets a policy. */
export type Role = 'agency' | 'deployer' | 'uploader'
export type Cloud = 'huawei-cloud' | 'open-telekom-cloud'

interface Permission {
  /** `service:resource:operation`, as FunctionGraph, APIG, SCM, DNS, SMN, IAM and OBS name them. */
  action: string
  /** Not every part is used by everybody: what has to be in rotation.yaml for it to be needed. */
  for: string
  /** OBS only: below which folder of the bucket. */
  folder?: string
}

/**
 * The calls that the code really makes, by who makes them. The policies below are made of this list alone, and a test
 * compares it with what the emulator saw. Names of APIG's actions: "Permissions and supported actions" of API
 * Gateway, which since September 2024 must be named one by one; of FunctionGraph's: the same page of FunctionGraph.
 */
export const permissions: Record<Role, Permission[]> = {
  agency: [
    ...gateway('apig', 'gateways with flavour apig'),
    // Only Open Telekom Cloud's list of binding's dependencies has it; an action that exists on both.
    { action: 'apig:domains:get', for: 'gateways with flavour apig' },
    ...gateway('roma', 'gateways with flavour roma'),
    // "Permissions policies and supported actions" of CCM, for policies of version 1.1: import is `upload` there. The
    // page has no row for deployed-resources; `list` is what reads.
    ...['upload', 'list', 'push', 'delete'].map((name) => ({ action: `scm:cert:${name}`, for: 'push' })),
    { action: 'cdn:configuration:queryHttpsConf', for: 'push to CDN' },
    { action: 'smn:topic:publish', for: 'alerts by SMN' },
    ...['zone:list', 'recordset:list', 'recordset:create', 'recordset:update', 'recordset:delete'].map(
      (name) => ({ action: `dns:${name}`, for: 'renewal with dns-01' }),
    ),
    ...projects('cloud without projectId'),
    { action: 'obs:bucket:ListBucket', for: 'store' },
    { action: 'obs:object:GetObject', for: 'store' },
    // Not config/: whoever can write a bundle's folder must not be able to change what is done with it.
    ...['incoming/', 'deployed/', 'rejected/', 'renew/', 'state/', 'status/'].flatMap((folder) =>
      ['PutObject', 'DeleteObject'].map((name) => ({ action: `obs:object:${name}`, for: 'store', folder })),
    ),
  ],
  deployer: [
    ...[
      'function:create',
      'function:getConfig',
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
    ].map((name) => ({ action: `functiongraph:${name}`, for: 'deploy, remove, invoke, info' })),
    { action: 'lts:logs:list', for: 'logs' },
    ...projects('a deployment without projectId'),
    // A function can only be given an agency by somebody who may pass it on.
    { action: 'iam:agencies:pass', for: 'agency' },
    // FunctionGraph sets up the bucket's notification in the deployer's name.
    ...['GetBucketNotification', 'PutBucketNotification'].map((name) => ({
      action: `obs:bucket:${name}`,
      for: 'the OBS trigger',
    })),
  ],
  uploader: [{ action: 'obs:object:PutObject', for: 'dropping bundles', folder: 'incoming/' }],
}

/** The same call has another name on each cloud. */
function projects(use: string): Permission[] {
  return ['iam:projects:listProjects', 'iam:projects:listProjectsForUser'].map((action) => ({
    action,
    for: use,
  }))
}

function gateway(service: 'apig' | 'roma', use: string): Permission[] {
  return [
    'instances:get',
    'groups:get',
    'groups:list',
    'certificate:create',
    'certificate:update',
    'certificate:list',
    'certificate:get',
    'certificate:delete',
    'certificate:listBoundDomain',
    'domains:bindCertificate',
    'domains:unbindCertificate',
  ].map((name) => ({ action: `${service}:${name}`, for: use }))
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

const BUCKET = 'my-certificates'

/** Custom policies (version 1.1); the bucket's name is for the reader to replace. */
export function policy(role: Role, cloud: Cloud) {
  const wanted = permissions[role].filter(({ action }) => OFFERED[cloud](action))
  const of = (service: RegExp) => wanted.filter(({ action }) => service.test(action))
  // OBS and IAM are global services, the others belong to a project: IAM takes no policy that mixes them.
  const parts = {
    project: allow(of(/^(?!obs:|iam:)/)),
    iam: allow(of(/^iam:/)),
    storage: statements(of(/^obs:/)),
  }
  return Object.fromEntries(
    Object.entries(parts)
      .filter(([, statement]) => statement.length > 0)
      .map(([part, Statement]) => [part, { Version: '1.1', Statement }]),
  )
}

function allow(list: Permission[], ...resources: string[]) {
  if (list.length === 0) return []
  return [{ Effect: 'Allow', Action: names(list), ...(resources.length > 0 ? { Resource: resources } : {}) }]
}

function statements(storage: Permission[]) {
  const objects = storage.filter(({ action }) => action.startsWith('obs:object:'))
  const object = (folder = '') => `OBS:*:*:object:${BUCKET}/${folder}*`
  const folders = [...new Set(objects.flatMap(({ folder }) => (folder === undefined ? [] : [folder])))]
  return [
    ...allow(
      storage.filter(({ action }) => action.startsWith('obs:bucket:')),
      `OBS:*:*:bucket:${BUCKET}`,
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
function layOut(document: unknown): string {
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
