import type { HttpClient } from '../shared/http/client.ts'

const PAGE = 100

/** Topics of SMN: who hears of a function that failed. */
export function createTopics(http: HttpClient, { region, projectId }: { region: string; projectId: string }) {
  const path = `/v2/${projectId}/notifications/topics`
  return {
    urn: (name: string) => `urn:smn:${region}:${projectId}:${name}`,

    async exists(urn: string): Promise<boolean> {
      for (let offset = 0; ; offset += PAGE) {
        const reply = await http.request({
          operation: 'list the topics',
          method: 'GET',
          path,
          query: { offset, limit: PAGE },
          permission: 'smn:topic:list',
        })
        const { topics } = (reply.body ?? {}) as { topics?: { topic_urn?: string }[] }
        if (!Array.isArray(topics)) throw reply.broken('topics is not a list')
        if (topics.some(({ topic_urn }) => topic_urn === urn)) return true
        if (topics.length < PAGE) return false
      }
    },

    async create(name: string): Promise<void> {
      await http.request({
        operation: `create the topic ${name}`,
        method: 'POST',
        path,
        body: { name, display_name: 'cert-rotation' },
        permission: 'smn:topic:create',
        // 200 where it is there already.
        idempotent: true,
      })
    },

    async remove(urn: string): Promise<void> {
      await http.request({
        operation: `delete the topic ${urn}`,
        method: 'DELETE',
        path: `${path}/${encodeURIComponent(urn)}`,
        permission: 'smn:topic:delete',
      })
    },
  }
}

export type Topics = ReturnType<typeof createTopics>
