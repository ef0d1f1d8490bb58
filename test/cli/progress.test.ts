import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Progress } from '../../functions/commands/progress.ts'
import { renderReport } from '../../functions/commands/render.ts'
import type { ProgressEvent } from '../../shared/rotation/progress.ts'
import type { DomainOutcome, Outcome } from '../../shared/rotation/record/state.ts'
import { Story } from '../support/story.ts'

/** What somebody who watches a rotation sees, and what is left of it at its end. Time is the test's. */

const certificate = 'shop'
const stage = (total: number, what: 'bound' | 'served' = 'bound'): ProgressEvent => ({
  kind: 'stage',
  certificate,
  stage: what,
  total,
})
const turn = (at: 'begun' | 'ended', gapMs?: number): ProgressEvent => ({
  kind: 'turn',
  certificate,
  at,
  domains: 1,
  ...(gapMs === undefined ? {} : { gapMs }),
})
const step = (sentence: string, name = 'bind'): ProgressEvent => ({
  kind: 'step',
  certificate,
  step: name,
  target: 'apig:gw/g/d',
  sentence,
  durationMs: 12,
})
const trouble = (sentence: string): ProgressEvent => ({ kind: 'trouble', certificate, target: 'd', sentence })

class Screen {
  now = 0
  text = ''
  readonly progress: Progress
  constructor(columns?: number) {
    this.progress = new Progress({
      write: (text) => {
        this.text += text
      },
      clock: { monotonic: () => this.now },
      color: false,
      columns: () => columns,
    })
  }

  show(...events: ProgressEvent[]): this {
    for (const event of events) this.progress.show(event)
    return this
  }

  /** `count` domains, one after the other, `ms` each. */
  bind(count: number, ms: number, gapMs?: number): this {
    for (let done = 0; done < count; done++) {
      this.show(turn('begun'))
      this.now += ms
      this.show(turn('ended', gapMs))
    }
    return this
  }

  /** What a terminal shows: a line that was rewritten only as it was last. */
  get lines(): string[] {
    const visible = (line: string) => {
      const [last = ''] = line.split('\r').slice(-1)
      return stripVTControlCharacters(last)
    }
    return this.text.split('\n').map(visible)
  }

  /** Everything that was ever written as one line, before it was rewritten. */
  get written(): string[] {
    return this.text.split(/[\r\n]/).map(stripVTControlCharacters)
  }
}

describe('progress', () => {
  it('tells ten domains one by one, as ever', () => {
    const { text } = new Screen(80).show(stage(10), turn('begun'), step('api: bound'), turn('ended', 31))
    expect(text).toBe('  ✓ api: bound, 12 ms\n')
  })

  it('has one line for eleven on a terminal: how far, in flight, the worst gap, what is left', () => {
    const screen = new Screen(80).show(stage(500), ...Array.from({ length: 8 }, () => turn('begun')))
    screen.bind(300, 20, 18).bind(10, 20, 31).bind(1, 100, 9)
    expect(screen.lines).toEqual(['311 of 500 bound · 8 in flight · worst gap 31 ms · about 4 s left'])
    screen.show(stage(500, 'served'))
    expect(screen.lines).toEqual(['0 of 500 served · worst gap 31 ms'])
    screen.progress.end()
    expect(screen.lines).toEqual([''])
    // What comes next begins anew.
    expect(screen.show(step('api: bound')).lines).toEqual(['  ✓ api: bound, 12 ms', ''])
  })

  it('prints problems above it as they come, and the other steps; those of the domains are counted', () => {
    const screen = new Screen(80).show(stage(11), step('api: bound'), trouble('www: refused'))
    screen.bind(1, 200).show(step('created it', 'create'))
    screen.progress.above((text: string) => {
      screen.text += text
    })('12:00 warn\n')
    expect(screen.lines).toEqual(['  ✗ www: refused', '  ✓ created it, 12 ms', '12:00 warn', '1 of 11 bound'])
  })

  it('is never as wide as the terminal, nor is a problem wider', () => {
    const screen = new Screen(24).show(stage(500), turn('begun')).bind(40, 100, 31)
    screen.show(trouble('www.shop.example: the gateway refused it for a long reason'))
    expect(Math.max(...screen.written.map((line) => line.length))).toBe(24)
    expect(screen.lines.at(-1)).toMatch(/^40 of 500 bound .*…$/)
    expect(screen.lines.at(-1)).toHaveLength(23)
  })

  it('is not rewritten for every single domain', () => {
    const screen = new Screen(80).show(stage(500)).bind(400, 1)
    expect(screen.written.length).toBeLessThan(8)
  })

  it('says nothing of the time left before there is a pace', () => {
    expect(new Screen(80).show(stage(500)).bind(4, 9000).text).not.toContain('left')
  })

  it('is a line a second in a pipe, without control characters, and a last one', () => {
    const screen = new Screen().show(stage(500)).bind(450, 10, 31)
    screen.now += 1
    screen.progress.end()
    expect(screen.text).toBe(stripVTControlCharacters(screen.text))
    expect(screen.text).not.toContain('\r')
    expect(screen.lines.map((line) => Number.parseInt(line, 10))).toEqual([
      0,
      100,
      200,
      300,
      400,
      450,
      Number.NaN,
    ])
  })
})

it('a rotation tells each domain that begins and ends, and counts its handshakes', async () => {
  const story = await Story.start({
    apig: Array.from({ length: 12 }, (_, at) => `d${at}.shop.example`),
    roma: [],
  })
  const events: ProgressEvent[] = []
  let refusals = 0
  story.change = (parties) => ({
    ...parties,
    progress: (event) => void events.push(event),
    probe: {
      // Once the edge refuses, as it does while a domain has no certificate.
      handshake: async (target, signal) =>
        events.some(({ kind }) => kind === 'stage') && refusals++ === 0
          ? { reached: true, served: undefined, reason: 'alert' }
          : parties.probe.handshake(target, signal),
    },
  })
  await story.drop()
  const [outcome] = await story.tick()
  await story.close()
  const stages = events.flatMap((one) => (one.kind === 'stage' ? [[one.stage, one.total]] : []))
  const turns = (which: 'begun' | 'ended') =>
    events.filter((one) => one.kind === 'turn' && one.at === which).length
  // The first one is seen to be served before the others have their turn.
  expect(stages).toEqual([
    ['bound', 12],
    ['served', 11],
  ])
  expect([turns('begun'), turns('ended')]).toEqual([23, 23])
  const gaps = events.flatMap((one) => (one.kind === 'turn' && one.gapMs !== undefined ? [one.gapMs] : []))
  expect(Math.max(...gaps)).toBe(Math.max(...outcome!.domains.map(({ gapMs }) => gapMs ?? -1)))
  expect(outcome?.status).toBe('rotated')
  expect(outcome?.handshakes).toEqual({ made: 13, refused: 1 })
})

describe('the report', () => {
  const failure = (message: string, code = 'gateway.refused') => ({
    code,
    kind: 'never' as const,
    message,
    next: 'Read the code.',
    facts: {},
  })
  const outcome = (change: Partial<Outcome>): Outcome => ({
    certificate,
    status: 'rotated',
    at: '2026-11-26T12:00:00.000Z',
    durationMs: 12_340,
    sentence: 'all is well',
    checks: [],
    repairs: [],
    domains: [],
    pushed: [],
    failures: [],
    ...change,
  })
  const domain = (host: string, change: Partial<DomainOutcome> = {}): DomainOutcome => ({
    gateway: 'apig:gw',
    host,
    status: 'served',
    ...change,
  })
  const said = (change: Partial<Outcome>, width = 200) =>
    renderReport({ outcomes: [outcome(change)], failures: [] }, false, width)

  it('says a failure once, the hosts first, and the next step once', () => {
    const refused = ['a', 'b', 'c', 'd', 'e'].map((host) =>
      domain(host, { status: 'restored', failure: failure(`${host}: APIG.3708`) }),
    )
    const failures = refused.map((one) => one.failure!)
    const sentence = `the new certificate did not go into service: ${failures[0]!.message}`
    expect(said({ status: 'rolled back', sentence, domains: refused, failures })).toBe(
      [
        '✗ shop  rolled back: the new certificate did not go into service',
        '  a, b, c and 2 more: restored: APIG.3708 [gateway.refused]',
        '  → Read the code.',
        '',
      ].join('\n'),
    )
  })

  it('says what befell no domain, too, and once where it is the sentence', () => {
    const one = failure('The store does not answer', 'store.unreachable')
    expect(said({ status: 'failed', sentence: one.message, failures: [one] })).toBe(
      '✗ shop  failed: The store does not answer [store.unreachable]\n  → Read the code.\n',
    )
    const push = failure('SCM refused the push', 'manager.refused')
    const pushed = [{ service: 'ELB' as const, project: 'eu-de', status: 'failed' as const, failure: push }]
    expect(said({ status: 'unfinished', pushed, failures: [push] }).match(/SCM refused/g)).toHaveLength(1)
  })

  it('has for a refusal the next step that README.txt has', () => {
    const check = { code: 'chain', reason: 'issuer-missing', result: 'refused', message: 'No issuer.' }
    expect(said({ status: 'refused', sentence: check.message, checks: [check] })).toBe(
      '✗ shop  refused: No issuer. [chain]\n  → Upload the full chain (often called fullchain or CA bundle) together with leaf and key.\n',
    )
  })

  it('of more than ten domains ends with time, gaps and refused handshakes', () => {
    const domains = Array.from({ length: 11 }, (_, at) => domain(`d${at}`, { gapMs: at === 3 ? 31 : 18 }))
    const measured = { domains, handshakes: { made: 40, refused: 2 } }
    expect(said(measured).split('\n').slice(1, 4)).toEqual([
      '  time        12.3 s for 11 domains',
      '  gap         median 18 ms, worst 31 ms (d3)',
      '  handshakes  40, 2 refused',
    ])
    expect(said({ ...measured, domains: domains.slice(0, 10) }).split('\n')).toHaveLength(2)
  })

  it('fits the terminal', () => {
    const domains = [domain('api.shop.example', { status: 'failed', failure: failure('long '.repeat(60)) })]
    const lines = said({ status: 'failed', domains, sentence: 'word '.repeat(60) }, 80).split('\n')
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
  })
})
