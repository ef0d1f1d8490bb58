import type { HttpReply, HttpRequest } from '../http/client.ts'
import { readId, readPage, UnreadableField } from './wire-types.ts'

/** The most the API gives at once; more is cut to it. */
const PAGE_SIZE = 500
/** A list that never ends is a broken server, not a big account. */
const MAX_PAGES = 200

/**
 * All rows of a paged list, each id once; a server that ignores `offset` is noticed and does not loop us.
 * `send` gives undefined where the listed thing is not there: an empty list. `reply` is the last one, for readers.
 */
export async function listAll(
  request: HttpRequest,
  key: string,
  send: (page: HttpRequest) => Promise<HttpReply | undefined>,
): Promise<{ rows: unknown[]; reply: HttpReply | undefined }> {
  const seen = new Map<string, unknown>()
  let reply: HttpReply | undefined
  let offset = 0
  for (let page = 0; page < MAX_PAGES; page++) {
    reply = await send({ ...request, query: { ...request.query, limit: PAGE_SIZE, offset } })
    if (reply === undefined) break
    const { rows, total } = read(reply, (body) => readPage(body, key))
    const before = seen.size
    for (const row of rows) {
      const id = readWith(reply, () => readId(row, 'id', `an entry of ${key}`))
      seen.set(id, row)
    }
    offset += rows.length
    // Some servers give less than was asked for, so a short page is the end only where no total says more.
    const complete = total === undefined ? rows.length < PAGE_SIZE : offset >= total
    if (complete || seen.size === before) break
  }
  return { rows: [...seen.values()], reply }
}

/** A field that cannot be read becomes `gateway.broken-reply` of the call that brought it. */
export function read<T>(reply: HttpReply, reader: (body: unknown) => T): T {
  return readWith(reply, () => reader(reply.body))
}

export function readWith<T>(reply: HttpReply | undefined, reader: () => T): T {
  try {
    return reader()
  } catch (thrown) {
    if (thrown instanceof UnreadableField && reply !== undefined) throw reply.broken(thrown.message)
    throw thrown
  }
}
