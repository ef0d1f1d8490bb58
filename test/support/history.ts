import fc from 'fast-check'

/** Where a run starts: an event of the store, the timer, or a person at a terminal. */
export type Door = 'event' | 'tick' | 'person'

/** What somebody or something does while a run is at its n-th call to the cloud. */
export type Surprise =
  | 'upload a newer bundle'
  | 'upload half of a newer bundle'
  | 'the tokens end'
  | 'the call takes four seconds'
  | 'the call takes half a minute'
  | 'the wall clock goes forward an hour'
  | 'the wall clock goes back ten minutes'
  | 'unbind a domain by hand'
  | 'bind another certificate by hand'

export interface ProcessPlan {
  door: Door
  /** Dies at this boundary; 0 lives. */
  killAt: number
  /** Seconds the invocation has; 0 for no end. */
  deadline: number
}

export type Misfortune =
  | 'reply lost'
  | 'request lost'
  | 'half a reply'
  | '500'
  | '429'
  | '429 with Retry-After'
  | '500 APIG.9008'
  | '403'

export type Act =
  | { act: 'upload'; what: 'newer' | 'again' | 'older' | 'with the key of another' }
  | { act: 'half'; first: 'fullchain.pem' | 'privkey.pem' }
  | { act: 'rest' }
  | { act: 'run'; processes: ProcessPlan[]; surprise?: { at: number; what: Surprise; domain: number } }
  | { act: 'fault'; route: string; nth: number; times: number; what: Misfortune }
  | { act: 'store fault'; nth: number; effect: boolean }
  | { act: 'tokens end' }
  | { act: 'wall clock'; minutes: number }
  | { act: 'time passes'; minutes: number }
  | { act: 'by hand'; what: 'bind another' | 'unbind' | 'delete ours'; domain: number }
  | { act: 'state file'; what: 'keep a copy' | 'restore the copy' | 'garbage' | 'empty' | 'remove' }

export interface Scene {
  apig: number
  roma: number
  strategy: 'rebind' | 'attach first' | 'update' | 'add'
  auth: 'access key' | 'password'
  attachOverOther: 'refuse' | 'replace'
  retireAfter: '2h' | '7d'
  keep: number
  seed: number
}

export interface History {
  scene: Scene
  acts: Act[]
}

const processPlan: fc.Arbitrary<ProcessPlan> = fc.record({
  door: fc.constantFrom<Door>('event', 'tick', 'tick', 'person'),
  killAt: fc.oneof(
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 140 }) },
  ),
  deadline: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 30 }) },
  ),
})

const surprise = fc.record({
  at: fc.integer({ min: 1, max: 40 }),
  what: fc.constantFrom<Surprise>(
    'upload a newer bundle',
    'upload half of a newer bundle',
    'the tokens end',
    'the call takes four seconds',
    'the call takes half a minute',
    'the wall clock goes forward an hour',
    'the wall clock goes back ten minutes',
    'unbind a domain by hand',
    'bind another certificate by hand',
  ),
  domain: fc.nat(3),
})

const run: fc.Arbitrary<Act> = fc
  .tuple(
    fc.array(processPlan, { minLength: 1, maxLength: 2 }),
    fc.option(surprise, { nil: undefined, freq: 2 }),
  )
  .map(([processes, what]) => ({ act: 'run', processes, ...(what ? { surprise: what } : {}) }))

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 10, arbitrary: run },
  {
    weight: 6,
    arbitrary: fc.record({
      act: fc.constant('upload' as const),
      what: fc.constantFrom(
        'newer' as const,
        'newer' as const,
        'newer' as const,
        'again' as const,
        'older' as const,
        'with the key of another' as const,
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constant('half' as const),
      first: fc.constantFrom('fullchain.pem' as const, 'privkey.pem' as const),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Act>({ act: 'rest' }) },
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constant('fault' as const),
      route: fc.constantFrom(
        '*.attachCertificate',
        '*.detachCertificate',
        '*.createCertificate',
        '*.addCertificate',
        '*.updateCertificate',
        'scm.importCertificate',
        'scm.pushCertificate',
        'scm.*',
        '*.deleteCertificate',
        '*',
      ),
      nth: fc.integer({ min: 1, max: 12 }),
      times: fc.integer({ min: 1, max: 2 }),
      what: fc.constantFrom<Misfortune>(
        'reply lost',
        'reply lost',
        'request lost',
        'half a reply',
        '500',
        '429',
        '429 with Retry-After',
        '500 APIG.9008',
        '403',
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constant('store fault' as const),
      nth: fc.integer({ min: 1, max: 60 }),
      effect: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Act>({ act: 'tokens end' }) },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constant('wall clock' as const),
      minutes: fc.integer({ min: -1440, max: 1440 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant('time passes' as const),
      minutes: fc.constantFrom(1, 10, 120, 480),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant('by hand' as const),
      what: fc.constantFrom('bind another' as const, 'unbind' as const, 'delete ours' as const),
      domain: fc.nat(3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constant('state file' as const),
      what: fc.constantFrom(
        'keep a copy' as const,
        'restore the copy' as const,
        'garbage' as const,
        'empty' as const,
        'remove' as const,
      ),
    }),
  },
)

const scene: fc.Arbitrary<Scene> = fc.record({
  apig: fc.integer({ min: 1, max: 2 }),
  roma: fc.integer({ min: 0, max: 2 }),
  strategy: fc.constantFrom('rebind', 'rebind', 'attach first', 'update', 'add'),
  auth: fc.constantFrom('access key', 'password'),
  attachOverOther: fc.constantFrom('refuse', 'replace'),
  retireAfter: fc.constantFrom('7d', '2h'),
  keep: fc.nat(1),
  seed: fc.nat(1_000_000),
})

/** Random histories; most begin with an upload, because without one nothing happens. */
export const histories: fc.Arbitrary<History> = fc.record({
  scene,
  acts: fc
    .tuple(fc.boolean(), fc.array(act, { minLength: 2, maxLength: 14 }))
    .map(([empty, acts]): Act[] => (empty ? acts : [{ act: 'upload', what: 'newer' }, ...acts])),
})

/** A history as a person reads it, one line per act. */
export function describeHistory({ scene, acts }: History): string {
  const { apig, roma, strategy, auth, attachOverOther, retireAfter, keep, seed } = scene
  return [
    `${apig} domain(s) on apig, ${roma} on roma; strategy ${strategy}, ${auth}, attach over another: ${attachOverOther}, retire after ${retireAfter} keep ${keep}, random ${seed}`,
    ...acts.map((one, index) => `${String(index + 1).padStart(3)}. ${describeAct(one)}`),
  ].join('\n')
}

export function describeAct(act: Act): string {
  switch (act.act) {
    case 'upload':
      return act.what === 'again' ? 'upload the same bundle again' : `upload a bundle: ${act.what}`
    case 'half':
      return `upload ${act.first} of a newer bundle`
    case 'rest':
      return 'upload the other half'
    case 'run': {
      const processes = act.processes.map(describeProcess).join('  BESIDE  ')
      const { surprise } = act
      return surprise ? `${processes}  WHILE at call ${surprise.at}: ${surprise.what}` : processes
    }
    case 'fault':
      return `call ${act.nth} of ${act.route} fails ${act.times} time(s): ${act.what}`
    case 'store fault':
      return `operation ${act.nth} of the store fails, its effect ${act.effect ? 'done' : 'not done'}`
    case 'wall clock':
      return `the wall clock jumps by ${act.minutes} minutes`
    case 'time passes':
      return `${act.minutes} minutes pass`
    case 'by hand':
      return `by hand: ${act.what} (domain ${act.domain})`
    case 'state file':
      return `the state file: ${act.what}`
    default:
      return act.act
  }
}

function describeProcess({ door, killAt, deadline }: ProcessPlan): string {
  const end = deadline > 0 ? `, ${deadline} s` : ''
  return `${door}${end}${killAt > 0 ? `, killed at boundary ${killAt}` : ''}`
}
