import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import * as packet from 'dns-packet'
import { absolute, type DnsZones, type RecordType } from './dns-zones.ts'

export interface DnsAnswers {
  /** The same for UDP and TCP, on 127.0.0.1. */
  port: number
  /** Names that were asked for, with their types; newest last. */
  readonly queries: { name: string; type: string }[]
  close(): Promise<void>
}

/** A name server's default size of a UDP answer without EDNS (RFC 1035, section 4.2.1). */
const plainUdp = 512

/**
 * Answers DNS from the emulated zones over UDP and TCP, authoritatively and on loopback only. Delegations within
 * the emulated zones (CNAME) are followed, so that it can also play a CA's resolver. A function is asked for the
 * zones at every query. Fails with the socket's error where the port is taken.
 */
export async function startDnsAnswers(zones: DnsZones | (() => DnsZones), port = 0): Promise<DnsAnswers> {
  const host = '127.0.0.1'
  const queries: DnsAnswers['queries'] = []
  const reply = (message: Buffer, udp: boolean) =>
    answer(typeof zones === 'function' ? zones() : zones, message, udp, queries)

  // UDP and TCP share the number: bind TCP first, and try another where UDP's is taken.
  for (let attempt = 0; ; attempt++) {
    const connections = new Set<Socket>()
    const tcp = createServer((socket) => {
      connections.add(socket)
      socket.on('close', () => connections.delete(socket))
      socket.on('error', () => socket.destroy())
      serveTcp(socket, reply)
    })
    tcp.listen(port, host)
    await once(tcp, 'listening')
    const bound = (tcp.address() as { port: number }).port
    const udp = createSocket('udp4')
    try {
      udp.bind(bound, host)
      await once(udp, 'listening')
    } catch (error) {
      tcp.close()
      udp.close()
      if (port !== 0 || attempt >= 10) throw error
      continue
    }
    udp.on('message', (message, from) => {
      const bytes = reply(message, true)
      if (bytes !== undefined) udp.send(bytes, from.port, from.address)
    })
    udp.on('error', () => {})
    return {
      port: bound,
      queries,
      async close() {
        for (const socket of connections) socket.destroy()
        await Promise.all([
          new Promise<void>((resolve) => tcp.close(() => resolve())),
          new Promise<void>((resolve) => udp.close(resolve)),
        ])
      },
    }
  }
}

function serveTcp(socket: Socket, reply: (message: Buffer, udp: boolean) => Buffer | undefined): void {
  let pending = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk])
    // RFC 1035, section 4.2.2: two bytes of length before each message.
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const end = 2 + pending.readUInt16BE(0)
      const bytes = reply(pending.subarray(2, end), false)
      pending = pending.subarray(end)
      if (bytes === undefined) return void socket.destroy()
      const length = Buffer.alloc(2)
      length.writeUInt16BE(bytes.length)
      socket.write(Buffer.concat([length, bytes]))
    }
  })
}

function answer(
  zones: DnsZones,
  message: Buffer,
  udp: boolean,
  queries: DnsAnswers['queries'],
): Buffer | undefined {
  let query: packet.DecodedPacket
  try {
    query = packet.decode(message)
  } catch {
    return undefined
  }
  const question = query.questions?.[0]
  if (query.type === 'response' || question === undefined) return undefined
  queries.push({ name: absolute(question.name), type: question.type })
  const result = resolve(zones, question.name, question.type)
  const edns = query.additionals?.find((record) => record.type === 'OPT')
  const response: packet.Packet = {
    id: query.id ?? 0,
    type: 'response',
    flags:
      packet.AUTHORITATIVE_ANSWER |
      ((query.flags ?? 0) & packet.RECURSION_DESIRED) |
      packet.RECURSION_AVAILABLE |
      result.rcode,
    questions: [question],
    answers: result.answers,
    authorities: result.authorities,
    ...(edns && {
      additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] } as never],
    }),
  }
  const bytes = packet.encode(response)
  const room = (edns as { udpPayloadSize?: number } | undefined)?.udpPayloadSize ?? plainUdp
  if (!udp || bytes.length <= Math.max(room, plainUdp)) return bytes
  const flags = (response.flags ?? 0) | packet.TRUNCATED_RESPONSE
  return packet.encode({ ...response, flags, answers: [], authorities: [] })
}

interface Result {
  rcode: number
  answers: packet.Answer[]
  authorities: packet.Answer[]
}

const NXDOMAIN = 3
const REFUSED = 5

function resolve(zones: DnsZones, name: string, type: string): Result {
  const answers: packet.Answer[] = []
  let at = absolute(name)
  for (let hops = 0; hops < 8; hops++) {
    const zone = zones.zoneFor(at)
    if (zone === undefined) {
      return { rcode: answers.length > 0 ? 0 : REFUSED, answers, authorities: [] }
    }
    const soa = start(zone.name, zone.nameServers[0] ?? zone.name)
    const found = zones.answers(at)
    if (found === undefined) return { rcode: NXDOMAIN, answers, authorities: [soa] }
    if (type === 'SOA' && at === zone.name) return { rcode: 0, answers: [...answers, soa], authorities: [] }
    const alias = found.get('CNAME')
    if (alias !== undefined && type !== 'CNAME') {
      answers.push(...records(at, 'CNAME', alias))
      at = absolute(alias.records[0] ?? '')
      continue
    }
    const set = found.get(type as RecordType)
    if (set !== undefined) answers.push(...records(at, type as RecordType, set))
    return { rcode: 0, answers, authorities: set === undefined ? [soa] : [] }
  }
  return { rcode: 0, answers, authorities: [] }
}

function records(name: string, type: RecordType, set: { ttl: number; records: string[] }): packet.Answer[] {
  const owner = name.slice(0, -1)
  return set.records.flatMap((value): packet.Answer[] => {
    switch (type) {
      case 'TXT': {
        const strings = [...value.matchAll(/"([^"]*)"/g)].map(([, text]) => Buffer.from(text ?? ''))
        return [{ name: owner, type: 'TXT', ttl: set.ttl, data: strings }]
      }
      case 'A':
      case 'AAAA':
        return [{ name: owner, type, ttl: set.ttl, data: value }]
      case 'CNAME':
      case 'NS':
      case 'PTR':
        return [{ name: owner, type, ttl: set.ttl, data: value.replace(/\.$/, '') }]
      case 'CAA': {
        const [, flags, tag, text] = /^(\d+) (\w+) "?([^"]*)"?$/.exec(value) ?? []
        if (tag === undefined) return []
        const data = { flags: Number(flags), tag: tag as 'issue', value: text ?? '' }
        return [{ name: owner, type: 'CAA', ttl: set.ttl, data }]
      }
      default:
        return []
    }
  })
}

function start(zone: string, server: string): packet.Answer {
  return {
    name: zone.slice(0, -1),
    type: 'SOA',
    ttl: 300,
    data: {
      mname: server.replace(/\.$/, ''),
      rname: `hostmaster.${zone.slice(0, -1)}`,
      serial: 1,
      refresh: 7200,
      retry: 900,
      expire: 1_209_600,
      minimum: 5,
    },
  }
}
