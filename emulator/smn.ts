import { newRequestId } from './ids.ts'
import { ApiError, frontDoorError, type Reply, type RequestContext, type Service } from './service.ts'
import type { World } from './world.ts'

const topics = '/v2/{project_id}/notifications/topics'
const FIELDS = [
  'subject',
  'message',
  'message_structure',
  'message_template_name',
  'tags',
  'time_to_live',
  'message_attributes',
  'locale',
]

/** Simple Message Notification: topics and publishing. What was published is in the admin state. Reference, section 6. */
export const smn: Service = {
  name: 'smn',
  routes: [
    {
      name: 'smn.createTopic',
      method: 'POST',
      path: topics,
      handler: createTopic,
      action: 'smn:topic:create',
    },
    { name: 'smn.listTopics', method: 'GET', path: topics, handler: listTopics, action: 'smn:topic:list' },
    {
      name: 'smn.deleteTopic',
      method: 'DELETE',
      path: `${topics}/{topic_urn}`,
      handler: deleteTopic,
      action: 'smn:topic:delete',
    },
    {
      name: 'smn.publish',
      method: 'POST',
      path: `${topics}/{topic_urn}/publish`,
      handler: publish,
      action: 'smn:topic:publish',
    },
  ],
  errorBody: (error, requestId) =>
    error.code.startsWith('APIGW.')
      ? { error_code: error.code, error_msg: error.message, request_id: requestId }
      : { request_id: requestId, code: error.code, message: error.message },
  authError: frontDoorError,
  forbidden: () => new ApiError(403, 'SMN.0001', 'No permission to perform this operation'),
  badBody: (reason) => new ApiError(400, 'SMN.0000', `Invalid request body: ${reason}`),
}

/** Urn of a topic in the emulated project. */
export function topicUrn(world: World, name: string): string {
  return `urn:smn:${world.region}:${world.project.id}:${name}`
}

/** Idempotent: 201 the first time, 200 afterwards. */
function createTopic({ world, body, requestId }: RequestContext): Reply {
  const { name, display_name } = bodyOf(body)
  if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$/.test(name)) {
    throw new ApiError(400, 'SMN.0004', 'Invalid topic name')
  }
  const urn = topicUrn(world, name)
  const exists = world.topics.has(urn)
  if (!exists) {
    world.topics.set(urn, { urn, name, displayName: typeof display_name === 'string' ? display_name : '' })
    world.touch()
  }
  return { status: exists ? 200 : 201, body: { request_id: requestId, topic_urn: urn } }
}

function listTopics({ world, query, requestId }: RequestContext): Reply {
  const offset = Number(query.get('offset') ?? 0)
  const limit = Number(query.get('limit') ?? 100)
  if (!(limit >= 1 && limit <= 100)) throw new ApiError(400, 'SMN.0002', 'limit must be 1 to 100')
  const all = [...world.topics.values()].map(({ urn, name, displayName }) => ({
    topic_urn: urn,
    name,
    display_name: displayName,
    push_policy: 0,
  }))
  const page = all.slice(offset, offset + limit)
  return { status: 200, body: { request_id: requestId, topic_count: all.length, topics: page } }
}

function deleteTopic({ world, params, requestId }: RequestContext): Reply {
  if (!world.topics.delete(params.topic_urn!)) throw new ApiError(404, 'SMN.0006', 'The topic does not exist')
  world.touch()
  return { status: 200, body: { request_id: requestId } }
}

function publish({ world, params, body, requestId }: RequestContext): Reply {
  const urn = params.topic_urn!
  if (!/^urn:smn:[^:]+:[^:]+:[A-Za-z0-9_-]+$/.test(urn))
    throw new ApiError(400, 'SMN.0005', 'Invalid topic URN')
  const fields = bodyOf(body)
  const unknown = Object.keys(fields).find((name) => !FIELDS.includes(name))
  if (unknown !== undefined && world.rules.unknownFields === 'refuse') {
    throw new ApiError(400, 'SMN.0000', `Invalid request body: unknown field ${unknown}`)
  }
  if (!world.topics.has(urn)) throw new ApiError(404, 'SMN.0006', 'The topic does not exist')
  const { subject, message, message_structure, message_template_name } = fields
  checkSubject(subject)
  checkLife(fields.time_to_live)
  const structure = message_structure === undefined ? undefined : readStructure(message_structure)
  if (structure === undefined && message_template_name !== undefined) {
    throw new ApiError(400, 'SMN.0032', 'The message template does not exist')
  }
  if (structure === undefined || message !== undefined) checkMessage(message)
  const messageId = newRequestId()
  world.messages.push({
    at: world.clock.now().toISOString(),
    topicUrn: urn,
    messageId,
    subject: subject as string | undefined,
    message: message as string | undefined,
    messageStructure: structure,
  })
  world.touch()
  return { status: 200, body: { request_id: requestId, message_id: messageId } }
}

function checkSubject(subject: unknown): void {
  if (subject === undefined) return
  if (typeof subject !== 'string' || Buffer.byteLength(subject) > 512 || /[\r\n]/.test(subject)) {
    throw new ApiError(403, 'SMN.0008', 'Invalid subject: at most 512 bytes and no line breaks')
  }
}

function checkMessage(message: unknown): void {
  if (typeof message !== 'string' || message === '' || Buffer.byteLength(message) > 256 * 1024) {
    throw new ApiError(403, 'SMN.0009', 'Invalid message: it must have 1 byte to 256 KB')
  }
}

// JSON inside a string; `default` is what protocols without a text of their own get.
function readStructure(value: unknown): Record<string, unknown> {
  const wrong = new ApiError(
    400,
    'SMN.0021',
    'Invalid message_structure: JSON text with the key default is needed',
  )
  if (typeof value !== 'string' || Buffer.byteLength(value) > 256 * 1024) throw wrong
  let parsed: unknown
  try {
    parsed = JSON.parse(value)
  } catch {
    throw wrong
  }
  const hasDefault = typeof parsed === 'object' && parsed !== null && 'default' in parsed
  if (!hasDefault || Object.values(parsed as object).some((one) => typeof one !== 'string')) throw wrong
  return parsed as Record<string, unknown>
}

// Seconds, as text.
function checkLife(value: unknown): void {
  if (value === undefined) return
  if (typeof value !== 'string' || !/^\d{1,5}$/.test(value) || Number(value) < 1 || Number(value) > 86_400) {
    throw new ApiError(400, 'SMN.0000', 'Invalid time_to_live: text with 1 to 86400 seconds')
  }
}

function bodyOf(body: unknown): Record<string, unknown> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return body as Record<string, unknown>
  throw new ApiError(400, 'SMN.0000', 'Invalid request body: a JSON object is needed')
}
