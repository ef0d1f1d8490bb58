import { expect, test } from 'vitest'
import { day, hour } from '../../shared/base/clock.ts'
import type { ProbeResult } from '../../shared/probe/port.ts'
import type { BundleFacts, RotationState } from '../../shared/rotation/record/state.ts'
import { type AlertMemory, emptyRunMemory, readRunMemory } from '../../shared/watch/alert-memory.ts'
import type { DomainObservation, RenewalFacts } from '../../shared/watch/facts.ts'
import type { Notice } from '../../shared/watch/notice.ts'
import { digestsOf, watch } from '../../shared/watch/watch.ts'
import { bundle, config, gathered, later, outcome, seen, serving, start } from './support.ts'

const fleet = 200
const lifetime = 47 * day
const owners = Array.from({ length: 10 }, (_, index) => `team-${index}`)
const names = Array.from({ length: fleet }, (_, index) => `c${index}`)
const step = 12 * hour

/** A small generator with a fixed seed: the same year every time. */
function randomSource(seed: number): () => number {
  let x = seed
  return () => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0
    return x / 2 ** 32
  }
}

interface Service {
  name: string
  generation: number
  leaf: BundleFacts
  predecessor?: BundleFacts
  /** When its successor is really in service. */
  replaceAt: number
  /** From here until `replaceAt` its renewal or rotation fails. */
  trouble?: { kind: 'renewal' | 'rotation' | 'nobody'; from: number }
  /** The state file. */
  state: RotationState
}

const at = (ms: number) => new Date(start.getTime() + ms)

// Some ten seconds of work for one core; on a machine that many share, minutes.
test('in a year of 200 certificates every crossing is told exactly once and everything told is solved exactly once', () => {
  const random = randomSource(47)
  const settings = config(
    Object.fromEntries(names.map((name, index) => [name, { owner: owners[index % owners.length] }])),
    {
      owners: Object.fromEntries(owners.map((owner) => [owner, [{ console: true }]])),
      escalation: { from: '1d', channels: [{ console: true }] },
    },
  )
  const services = names.map((name) => begin(name, 1, at(-random() * 30 * day), random))
  // Three outages of the timer, and instants at which the machine's clock was wrong for one tick.
  const outages = [60, 170, 290].map((first) => [first * day, (first + 5) * day] as const)
  const wrongClocks = new Map(
    [40, 41, 120, 200, 201, 330].map((number, index) => [
      Math.floor((number * day) / step),
      index % 2 === 0 ? -9 * hour : -25 * day,
    ]),
  )

  let runMemory = emptyRunMemory()
  const told = new Map<string, number>()
  const open = new Map<string, Set<string>>()
  const expected = new Map<string, number>()
  const unmatched: string[] = []
  const messages = new Map<string, number>()
  const count = { ticks: 0, notices: 0, messages: 0, rotations: 0, expiries: 0, problems: 0, solved: 0 }

  for (let ms = 0, number = 0; ms <= 365 * day; ms += step, number++) {
    for (const service of services) advance(service, ms, random, count)
    if (outages.some(([from, to]) => ms >= from && ms < to)) continue
    const now = at(ms + (wrongClocks.get(number) ?? 0))
    const states = new Map(services.map(({ name, state }) => [name, state]))
    const observations = services.flatMap((service) => observe(service, ms, number, random))
    const renewals = new Map(services.map((service) => [service.name, renewalOf(service, ms)]))
    // Every tenth tick is started twice: the second run finds what the first has written.
    for (let run = 0; run < (number % 10 === 0 ? 2 : 1); run++) {
      const result = watch(gathered(now, settings, { states, observations, renewals }), runMemory)
      runMemory = number % 25 === 0 ? readRunMemory(JSON.stringify(result.runMemory)) : result.runMemory
      for (const [name, memory] of result.memories)
        keep(states, name, number % 25 === 0 ? JSON.parse(JSON.stringify(memory)) : memory)
      note(result.notices, now)
    }
    for (const service of services) expect_(service, now)
    count.ticks++
  }

  function expect_({ leaf, name, generation }: Service, now: Date) {
    const left = Date.parse(leaf.notAfter) - now.getTime()
    const passed = [
      [0, 'expired'],
      [day, '1d'],
      [3 * day, '3d'],
      [0.1 * lifetime, '10%'],
      [0.2 * lifetime, '20%'],
      [0.33 * lifetime, '33%'],
    ].find(([limit]) => left <= Number(limit))
    if (passed === undefined) return
    const deepest = expected.get(`${name} ${generation}`) ?? Number.POSITIVE_INFINITY
    if (Number(passed[0]) >= deepest) return
    expected.set(`${name} ${generation}`, Number(passed[0]))
    expected.set(`${name} ${leaf.notAfter} ${passed[1]}`, 1)
  }

  function note(notices: readonly Notice[], now: Date) {
    for (const notice of notices) {
      count.notices++
      if (notice.kind === 'near expiry' || notice.kind === 'expired') {
        const threshold = notice.kind === 'expired' ? 'expired' : notice.threshold
        const id = `${notice.certificate} ${notice.notAfter} ${threshold}`
        told.set(id, (told.get(id) ?? 0) + 1)
        if (notice.kind === 'expired') count.expiries++
      }
      const closes =
        notice.kind === 'rotated'
          ? notice.solves
          : notice.kind === 'solved' && notice.remaining === 0
            ? [notice.key]
            : []
      for (const key of closes) {
        count.solved++
        if (!open.delete(key)) unmatched.push(`${now.toISOString()} solved without being told: ${key}`)
      }
      if (notice.kind === 'rotated' || notice.kind === 'solved') continue
      const expiry = notice.key.endsWith('/expiry')
      if (!expiry) count.problems++
      // Several hosts share the key of what a certificate's domains serve; each may be told once while it is open.
      const hosts = notice.kind === 'not served' ? notice.where : [notice.key]
      const known = open.get(notice.key) ?? new Set<string>()
      for (const host of hosts) {
        if (known.has(host) && !expiry)
          unmatched.push(`${now.toISOString()} told while open: ${notice.key} ${host}`)
        known.add(host)
      }
      open.set(notice.key, known)
    }
    for (const { audience } of digestsOf(notices, now, settings.alerts)) {
      count.messages++
      messages.set(audience ?? 'everybody', (messages.get(audience ?? 'everybody') ?? 0) + 1)
    }
  }

  const perOwner = owners.map((owner) => messages.get(`owner ${owner}`) ?? 0)
  const perWeek = (sum: number) => (sum / 52).toFixed(1)
  console.log(
    `${count.ticks} ticks, ${count.rotations} rotations, ${told.size} crossings, ${count.expiries} expiries, ${count.problems} other problems, ` +
      `${count.solved} solved: ${count.notices} notices in ${count.messages} messages; per owner of 20 certificates and week ` +
      `${perWeek(Math.min(...perOwner))} to ${perWeek(Math.max(...perOwner))}, escalations ${perWeek(messages.get('escalation') ?? 0)}`,
  )

  expect(unmatched).toEqual([])
  const wanted = [...expected.keys()].filter((key) => key.split(' ').length === 3)
  expect([...told.keys()].sort()).toEqual(wanted.sort())
  expect([...told.values()].filter((times) => times !== 1)).toEqual([])
  expect(count.expiries).toBeGreaterThan(10)
  expect(count.problems).toBeGreaterThan(50)
  // What is still open now is what is still wrong now.
  for (const key of open.keys()) {
    const service = services.find(({ name }) => key.startsWith(`${name}/`))
    const left = service === undefined ? 0 : Date.parse(service.leaf.notAfter) - start.getTime() - 365 * day
    expect(left < 0.33 * lifetime || service?.trouble !== undefined, key).toBe(true)
  }
}, 300_000)

function begin(
  name: string,
  generation: number,
  notBefore: Date,
  random: () => number,
  previous?: Service,
): Service {
  const leaf = bundle(name, generation, notBefore)
  const born = notBefore.getTime() - start.getTime()
  const due = born + lifetime * (2 / 3) - random() * 12 * hour
  const luck = random()
  let replaceAt = due + random() * 5 * hour
  let trouble: Service['trouble']
  if (luck < 0.06) trouble = { kind: 'renewal', from: due }
  else if (luck < 0.1) trouble = { kind: 'rotation', from: due }
  else if (luck < 0.12) trouble = { kind: 'nobody', from: born + lifetime * random() * 0.5 }
  if (trouble !== undefined) replaceAt = due + random() * 20 * day
  const outcomes = [
    outcome(name, 'rotated', notBefore, { bundle: leaf }),
    ...(previous?.state.outcomes ?? []),
  ].slice(0, 10)
  const alerts = previous?.state.alerts
  const state: RotationState = {
    schema: 1,
    name,
    created: [],
    outcomes,
    deployed: { ...leaf, at: notBefore.toISOString(), folder: 'f/' },
    ...(alerts === undefined ? {} : { alerts }),
  }
  return {
    name,
    generation,
    leaf,
    replaceAt,
    ...(trouble === undefined ? {} : { trouble }),
    ...(previous === undefined ? {} : { predecessor: previous.leaf }),
    state,
  }
}

/** What the world does until `ms`: renewals, failures, rotations. */
function advance(service: Service, ms: number, random: () => number, count: { rotations: number }) {
  if (ms >= service.replaceAt) {
    count.rotations++
    Object.assign(
      service,
      { trouble: undefined },
      begin(service.name, service.generation + 1, at(ms), random, service),
    )
    return
  }
  // Every tick tries again and fails again, with an outcome each time.
  if (service.trouble?.kind === 'rotation' && ms >= service.trouble.from) {
    const next = bundle(service.name, service.generation + 1, at(service.trouble.from))
    const failed = outcome(service.name, 'failed', at(ms), {
      bundle: next,
      failures: [
        { code: 'gateway.timeout', kind: 'later', message: 'APIG did not answer', next: 'Wait.', facts: {} },
      ],
    })
    service.state = { ...service.state, outcomes: [failed, ...service.state.outcomes].slice(0, 10) }
  }
}

function observe(
  { name, leaf, predecessor, trouble, state }: Service,
  ms: number,
  number: number,
  random: () => number,
): DomainObservation[] {
  const dark = trouble?.kind === 'nobody' && ms >= trouble.from
  // For two ticks after a rotation the edge alternates between the predecessor and the new certificate.
  const fresh =
    predecessor !== undefined && ms - (Date.parse(state.deployed?.at ?? '') - start.getTime()) <= 2 * step
  return ['www', 'api'].map((label, index) => {
    const host = `${label}.${name}.example`
    if (random() < 0.01) return seen(name, host, { reached: false, reason: 'ETIMEDOUT' })
    if (dark && index === 0)
      return seen(name, host, { reached: true, served: undefined, reason: 'handshake refused' })
    const flaps = fresh && predecessor !== undefined && (number + index) % 2 === 0
    return seen(name, host, served(flaps ? predecessor : leaf, name))
  })
}

const handshakes = new Map<BundleFacts, ProbeResult>()

function served(facts: BundleFacts, name: string): ProbeResult {
  const known = handshakes.get(facts) ?? serving(facts, { names: [`*.${name}.example`] })
  handshakes.set(facts, known)
  return known
}

function renewalOf({ leaf, trouble }: Service, ms: number): RenewalFacts {
  const renewAt = later(lifetime * (2 / 3), new Date(leaf.notBefore)).toISOString()
  if (trouble?.kind !== 'renewal' || ms < trouble.from) return { renewAt }
  const failure = {
    code: 'acme.down',
    kind: 'later' as const,
    message: 'The CA is down',
    next: 'Wait for the CA.',
    facts: {},
  }
  return {
    renewAt,
    failing: {
      since: at(trouble.from).toISOString(),
      attempts: Math.ceil((ms - trouble.from) / step),
      failure,
    },
  }
}

function keep(states: Map<string, RotationState>, name: string, memory: AlertMemory) {
  const state = states.get(name)
  if (state !== undefined) state.alerts = memory as unknown as Record<string, unknown>
}
