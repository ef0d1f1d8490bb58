import { createHash } from 'node:crypto'
import { objectWritten } from './functiongraph-triggers.ts'
import { allows } from './identity.ts'
import { obsDate, obsSignatureProblem, parseObsAuthorization } from './obs-signature.ts'
import {
  ApiError,
  errorCodeBody,
  frontDoorError,
  type Reply,
  type RequestContext,
  type Route,
  type Service,
} from './service.ts'
import type { World } from './world.ts'

interface StoredObject {
  bytes: Buffer
  etag: string
  modifiedAt: Date
  contentType: string
}

type Buckets = Map<string, Map<string, StoredObject>>

/** Buckets whose versioning was ever switched on, and how it is. */
function versioningOf(world: World): Map<string, 'Enabled' | 'Suspended'> {
  const known = world.extensions.get('obs-versioning') as Map<string, 'Enabled' | 'Suspended'> | undefined
  const versioning = known ?? new Map()
  world.extensions.set('obs-versioning', versioning)
  return versioning
}

/** The buckets by name, each a map of keys. */
export function bucketsOf(world: World): Buckets {
  const known = world.extensions.get('obs') as Buckets | undefined
  if (known) return known
  const fresh: Buckets = new Map()
  world.extensions.set('obs', fresh)
  return fresh
}

type Handle = (context: RequestContext, bucket: string, key: string) => Reply | Promise<Reply>

/**
 * Object storage, as far as `@aws-sdk/client-s3` needs it here: make, look for and delete a bucket; PUT, GET, HEAD,
 * DELETE of an object;
 * LIST, versions 1 and 2. Reference, section 5. Told from the other services by its signature (AWS4-HMAC-SHA256);
 * the bucket is the first part of the host, or of the path, which the real service refuses.
 */
const operations: Record<string, { method: Route['method'] | 'HEAD'; action: string; handle: Handle }> = {
  createBucket: {
    method: 'PUT',
    action: 'obs:bucket:CreateBucket',
    handle: createBucket,
  },
  headBucket: {
    method: 'HEAD',
    action: 'obs:bucket:HeadBucket',
    handle: ({ world }, bucket) => {
      objectsOf(world, bucket)
      return { status: 200, headers: { 'x-amz-bucket-region': world.region } }
    },
  },
  deleteBucket: {
    method: 'DELETE',
    action: 'obs:bucket:DeleteBucket',
    handle: ({ world }, bucket) => {
      if (objectsOf(world, bucket).size > 0)
        throw new ApiError(409, 'BucketNotEmpty', 'The bucket you tried to delete is not empty')
      bucketsOf(world).delete(bucket)
      world.touch()
      return { status: 204 }
    },
  },
  getBucketVersioning: {
    method: 'GET',
    action: 'obs:bucket:GetBucketVersioning',
    handle: ({ world }, bucket) => {
      objectsOf(world, bucket)
      const status = versioningOf(world).get(bucket)
      const inner = status === undefined ? '' : `<Status>${status}</Status>`
      return {
        status: 200,
        raw: `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</VersioningConfiguration>`,
        headers: { 'content-type': 'application/xml' },
      }
    },
  },
  /** The state is told again; older versions themselves are not kept here. */
  setBucketVersioning: {
    method: 'PUT',
    action: 'obs:bucket:PutBucketVersioning',
    handle: ({ world, body }, bucket) => {
      objectsOf(world, bucket)
      const [, status] = /<Status>(Enabled|Suspended)<\/Status>/.exec(String(body)) ?? []
      if (status === undefined) throw new ApiError(400, 'MalformedXML', 'The XML is not well-formed')
      versioningOf(world).set(bucket, status as 'Enabled')
      world.touch()
      return { status: 200 }
    },
  },
  listObjects: {
    method: 'GET',
    action: 'obs:bucket:ListBucket',
    handle: (context, bucket) => list(context, bucket),
  },
  putObject: {
    method: 'PUT',
    action: 'obs:object:PutObject',
    handle: (context, bucket, key) => put(context, bucket, key),
  },
  getObject: {
    method: 'GET',
    action: 'obs:object:GetObject',
    handle: (context, bucket, key) => get(context, bucket, key, true),
  },
  headObject: {
    method: 'HEAD',
    action: 'obs:object:GetObject',
    handle: (context, bucket, key) => get(context, bucket, key, false),
  },
  deleteObject: {
    method: 'DELETE',
    action: 'obs:object:DeleteObject',
    handle: ({ world }, bucket, key) => {
      if (objectsOf(world, bucket).delete(key)) world.touch()
      return { status: 204 }
    },
  },
}

const routes: Record<string, Route> = Object.fromEntries(
  Object.entries(operations).map(([name, { method, action, handle }]) => [
    name,
    {
      name: `obs.${name}`,
      method: method as Route['method'],
      path: '/{bucket}/{key}',
      action,
      mutating: method === 'PUT' || method === 'DELETE',
      // Its own signature, checked below.
      authenticated: false,
      rawBody: true,
      handler: (context) => answer(context, action, handle),
    },
  ]),
)

export const obs: Service = {
  name: 'obs',
  // Found by `claim`, since keys have slashes in them.
  routes: [],
  claim(method, url, headers) {
    if (!/^AWS4-HMAC-SHA256 /.test(headers.authorization ?? '')) return undefined
    const { bucket, key } = located(url, String(headers.host ?? ''))
    // A sub-resource of the bucket is asked for in the query.
    const of = url.searchParams.has('versioning') ? /Versioning$/ : key === '' ? /Bucket$|^list/ : /Object$/
    const wanted = Object.keys(operations).filter((name) => of.test(name))
    const name = wanted.find((one) => operations[one]?.method === method)
    return name === undefined ? undefined : { route: routes[name]!, params: { bucket, key } }
  },
  errorBody: errorCodeBody,
  authError: frontDoorError,
  forbidden: () => new ApiError(403, 'AccessDenied', 'Access Denied'),
  badBody: (reason) => new ApiError(400, 'InvalidRequest', reason),
}

/** Virtual-host style where the host's first label is no address of the emulator, else path style. */
function located(url: URL, host: string): { bucket: string; key: string } {
  const name = host.replace(/:\d+$/, '')
  const path = decodeURIComponent(url.pathname.slice(1))
  if (!/^(127\.0\.0\.1|localhost|\[::1\])$/.test(name)) return { bucket: name.split('.')[0]!, key: path }
  const slash = path.indexOf('/')
  return slash < 0 ? { bucket: path, key: '' } : { bucket: path.slice(0, slash), key: path.slice(slash + 1) }
}

async function answer(context: RequestContext, action: string, handle: Handle): Promise<Reply> {
  const { world, params } = context
  const { bucket = '', key = '' } = params
  try {
    admit(context, action)
    const before = world.revision
    const reply = await handle(context, bucket, key)
    if (world.revision !== before) context.changed()
    return { ...reply, headers: { 'x-amz-request-id': context.requestId, ...reply.headers } }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    if (context.request.method === 'HEAD') return { status: error.status }
    const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${error.code}</Code><Message>${xml(error.message)}</Message><RequestId>${context.requestId}</RequestId></Error>`
    return { status: error.status, raw: body, headers: { 'content-type': 'application/xml' } }
  }
}

function admit({ world, request, params }: RequestContext, action: string): void {
  const parts = parseObsAuthorization(request.headers.authorization)
  const key = parts === undefined ? undefined : world.accessKeys.get(parts.accessKeyId)
  const now = world.clock.now().getTime()
  if (parts === undefined || key === undefined || (key.expiresAt && key.expiresAt.getTime() <= now))
    throw new ApiError(403, 'InvalidAccessKeyId', 'The access key is not known')
  const date = obsDate(request)
  if (date === undefined || Math.abs(now - date.getTime()) > world.rules.signatureToleranceMs)
    throw new ApiError(403, 'RequestTimeTooSkewed', "The request's time differs too much from the server's")
  if (key.securityToken !== undefined && request.headers['x-amz-security-token'] !== key.securityToken)
    throw new ApiError(403, 'InvalidSecurityToken', 'The security token does not belong to this key')
  const problem = obsSignatureProblem(request, parts, key.secret)
  if (problem) throw new ApiError(problem === 'SignatureDoesNotMatch' ? 403 : 400, problem, problem)
  const { bucket = '', key: object = '' } = params
  const path = /^obs:object:/.test(action) ? `object:${bucket}/${object}` : `bucket:${bucket}`
  const resource = `obs:${world.region}:${world.project.domainId}:${path}`
  if (!allows(world, key, action, resource)) throw new ApiError(403, 'AccessDenied', 'Access Denied')
}

/** API reference, "Creating a Bucket": the region of the endpoint must be named, and the name is good for all accounts. */
function createBucket({ world, body }: RequestContext, bucket: string): Reply {
  const location = /<LocationConstraint[^>]*>([^<]*)</.exec(String(body ?? ''))?.[1]
  if (location !== world.region)
    throw new ApiError(400, 'IllegalLocationConstraintException', `The region must be ${world.region}`)
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    throw new ApiError(400, 'InvalidBucketName', 'The bucket name is not valid')
  if (bucketsOf(world).has(bucket))
    throw new ApiError(409, 'BucketAlreadyOwnedByYou', 'Your previous request to create it succeeded')
  bucketsOf(world).set(bucket, new Map())
  world.touch()
  return { status: 200, headers: { location: `/${bucket}` } }
}

function objectsOf(world: World, bucket: string): Map<string, StoredObject> {
  const objects = bucketsOf(world).get(bucket)
  if (objects === undefined) throw new ApiError(404, 'NoSuchBucket', 'The bucket does not exist')
  return objects
}

function put(context: RequestContext, bucket: string, key: string): Reply {
  const { world, body, headers } = context
  const bytes = Buffer.from(body as Buffer)
  const etag = createHash('md5').update(bytes).digest('hex')
  const contentType = String(headers['content-type'] ?? 'application/octet-stream')
  objectsOf(world, bucket).set(key, { bytes, etag, modifiedAt: world.clock.now(), contentType })
  world.touch()
  objectWritten(world, { bucket, key, etag, size: bytes.length })
  return { status: 200, headers: { etag: `"${etag}"` } }
}

function get({ world }: RequestContext, bucket: string, key: string, withBody: boolean): Reply {
  const found = objectsOf(world, bucket).get(key)
  if (found === undefined) throw new ApiError(404, 'NoSuchKey', 'The object does not exist')
  return {
    status: 200,
    headers: {
      etag: `"${found.etag}"`,
      'last-modified': found.modifiedAt.toUTCString(),
      'content-type': found.contentType,
    },
    ...(withBody ? { raw: found.bytes } : {}),
  }
}

function list({ world, query }: RequestContext, bucket: string): Reply {
  const objects = objectsOf(world, bucket)
  const prefix = query.get('prefix') ?? ''
  const after = query.get('marker') ?? query.get('continuation-token') ?? query.get('start-after') ?? ''
  const limit = Math.min(Number(query.get('max-keys') ?? 1000), 1000)
  const encoded = query.get('encoding-type') === 'url'
  const text = (key: string) => (encoded ? encodeURIComponent(key).replaceAll('%2F', '/') : xml(key))
  const delimiter = query.get('delimiter') ?? ''
  // What lies below the next delimiter is one entry, its common prefix; one that is the marker has been told.
  const groupOf = (key: string) => {
    const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    return end < 0 ? undefined : key.slice(0, end + delimiter.length)
  }
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after)
  const entries = [...new Set(keys.map((key) => groupOf(key) ?? key))].filter((entry) => entry > after).sort()
  const page = entries.slice(0, limit)
  const more = entries.length > page.length
  const contents = page.map((entry) => {
    if (groupOf(entry) !== undefined)
      return `<CommonPrefixes><Prefix>${text(entry)}</Prefix></CommonPrefixes>`
    const { bytes, etag, modifiedAt } = objects.get(entry)!
    return `<Contents><Key>${text(entry)}</Key><LastModified>${modifiedAt.toISOString()}</LastModified><ETag>&quot;${etag}&quot;</ETag><Size>${bytes.length}</Size><StorageClass>STANDARD</StorageClass></Contents>`
  })
  const body = [
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
    `<Name>${bucket}</Name><Prefix>${text(prefix)}</Prefix><KeyCount>${page.length}</KeyCount><MaxKeys>${limit}</MaxKeys>`,
    encoded ? '<EncodingType>url</EncodingType>' : '',
    `<IsTruncated>${more}</IsTruncated>`,
    more
      ? `<NextMarker>${text(page.at(-1)!)}</NextMarker><NextContinuationToken>${text(page.at(-1)!)}</NextContinuationToken>`
      : '',
    ...contents,
    '</ListBucketResult>',
  ].join('')
  return { status: 200, raw: body, headers: { 'content-type': 'application/xml' } }
}

function xml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
