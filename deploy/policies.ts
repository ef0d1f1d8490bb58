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
    ...gateway('roma', 'gateways with flavour roma'),
    ...['import', 'list', 'push', 'delete', 'listDeployedResources'].map((name) => ({
      action: `scm:cert:${name}`,
      for: 'push',
    })),
    { action: 'smn:topic:publish', for: 'alerts by SMN' },
    ...['zone:list', 'recordset:list', 'recordset:create', 'recordset:update', 'recordset:delete'].map(
      (name) => ({ action: `dns:${name}`, for: 'renewal with dns-01' }),
    ),
    { action: 'iam:projects:listProjects', for: 'cloud without projectId' },
    { action: 'obs:bucket:ListBucket', for: 'store' },
    ...['GetObject', 'PutObject', 'DeleteObject'].map((name) => ({
      action: `obs:object:${name}`,
      for: 'store',
    })),
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
    { action: 'iam:projects:listProjects', for: 'a deployment without projectId' },
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

/** On Open Telekom Cloud there is no SCM and no ROMA Connect. */
const OFFERED: Record<Cloud, (action: string) => boolean> = {
  'huawei-cloud': () => true,
  'open-telekom-cloud': (action) => !/^(scm|roma):/.test(action),
}

const BUCKET = 'my-certificates'

/** A custom policy as IAM of either cloud takes it (version 1.1); the bucket's name is for the reader to replace. */
export function policy(role: Role, cloud: Cloud) {
  const wanted = permissions[role].filter(({ action }) => OFFERED[cloud](action))
  const storage = wanted.filter(({ action }) => action.startsWith('obs:'))
  const rest = wanted.filter(({ action }) => !action.startsWith('obs:'))
  // OBS is a global service, the others belong to a project: IAM takes no policy that mixes the two.
  const parts = {
    project: rest.length > 0 ? [{ Effect: 'Allow', Action: names(rest) }] : [],
    storage: statements(storage),
  }
  return Object.fromEntries(
    Object.entries(parts)
      .filter(([, statement]) => statement.length > 0)
      .map(([part, Statement]) => [part, { Version: '1.1', Statement }]),
  )
}

function statements(storage: Permission[]) {
  const bucketActions = storage.filter(({ action }) => action.startsWith('obs:bucket:'))
  const objectActions = storage.filter(({ action }) => action.startsWith('obs:object:'))
  const folder = objectActions[0]?.folder ?? ''
  return [
    ...(bucketActions.length > 0
      ? [{ Effect: 'Allow', Action: names(bucketActions), Resource: [`OBS:*:*:bucket:${BUCKET}`] }]
      : []),
    ...(objectActions.length > 0
      ? [{ Effect: 'Allow', Action: names(objectActions), Resource: [`OBS:*:*:object:${BUCKET}/${folder}*`] }]
      : []),
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
