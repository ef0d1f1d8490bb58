import { day, hour, minute } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import { emptyOutbox, queue, settle } from '../../shared/notify/outbox.ts'
import type { RotationState } from '../../shared/rotation/record/state.ts'
import { buildStatus } from '../../shared/status/build.ts'
import type { StatusModel } from '../../shared/status/model.ts'
import type { DomainObservation, RenewalFacts } from '../../shared/watch/facts.ts'
import {
  bundle,
  config,
  deployed,
  gathered,
  later,
  outcome,
  seen,
  serving,
  start,
  state,
} from '../watch/support.ts'

const failure = {
  code: 'gateway.refused',
  kind: 'never' as const,
  message:
    'Cannot attach certificate cr_mail_1 to mail.example: APIG answered 400 APIG.2011 "Parameter value is not in the valid range", request id 4f0c7b2e',
  next: 'Read what the gateway says about the certificate; the predecessor is in service again.',
  facts: { errorCode: 'APIG.2011', requestId: '4f0c7b2e' },
}

/** Three certificates as a small installation has them: one well, one rolled back, one not served. */
export function smallModel(now: Date = start): StatusModel {
  const settings = config({
    shop: { gateways: [{ flavour: 'apig', instanceId: 'a', domains: ['shop.example'] }], owner: 'shop-team' },
    mail: {},
    'old-portal': {},
  })
  const shopOld = bundle('shop', 1, later(-60 * day, now))
  const shop = bundle('shop', 2, later(-14 * day, now))
  const mail = bundle('mail', 1, later(-36 * day, now), 47)
  const portal = bundle('old-portal', 1, later(-364 * day - 12 * hour, now), 365)
  const states = new Map<string, RotationState>([
    ['shop', rotatedState('shop', shopOld, shop, now)],
    [
      'mail',
      deployed('mail', mail, later(-36 * day, now), {
        outcomes: [
          outcome('mail', 'rolled back', later(-2 * hour, now), {
            bundle: bundle('mail', 2, later(-3 * hour, now)),
            sentence:
              'mail.example refused the new certificate; the predecessor was put back on every domain.',
            domains: [
              { gateway: 'apig 0a1b', host: 'mail.example', status: 'restored', gapMs: 412, failure },
              { gateway: 'apig 0a1b', host: 'www.mail.example', status: 'untouched' },
            ],
            failures: [failure],
          }),
        ],
      }),
    ],
    ['old-portal', deployed('old-portal', portal, later(-364 * day, now))],
  ])
  const observations: DomainObservation[] = [
    seen('shop', 'shop.example', serving(shop)),
    seen('shop', 'www.shop.example', serving(shop)),
    seen('mail', 'mail.example', serving(mail)),
    seen('mail', 'www.mail.example', { reached: false, reason: 'connect ECONNREFUSED 10.0.0.7:443' }),
    seen('old-portal', 'old-portal.example', serving(portal)),
    seen('old-portal', 'www.old-portal.example', {
      reached: true,
      served: undefined,
      reason: 'the server refused the handshake for this name',
    }),
  ]
  const renewals = new Map<string, RenewalFacts>([['shop', { renewAt: later(17 * day, now).toISOString() }]])
  const outbox = queue(emptyOutbox(), [], new Set(['slack 3fa2c1d0']), now)
  return buildStatus({
    ...gathered(now, settings, { states, observations, renewals }),
    quotas: [{ where: 'apig 0a1b', used: 47, limit: 50 }],
    lastTick: { schema: 1, at: now.toISOString(), everyMs: hour },
    outbox,
  })
}

function rotatedState(
  name: string,
  old: ReturnType<typeof bundle>,
  current: ReturnType<typeof bundle>,
  now: Date,
) {
  const begun = later(-14 * day + 5 * minute, now)
  const step = (seconds: number, kind: string, target: string) => [
    `${kind} ${target}`,
    { step: kind, target, at: later(seconds * 1_000, begun).toISOString() },
  ]
  return deployed(name, current, begun, {
    current: {
      bundle: current,
      remoteName: 'cr_shop_2',
      startedAt: begun.toISOString(),
      status: 'done',
      domains: {},
      certificates: {},
      notes: Object.fromEntries([
        step(0.8, 'create', 'apig 0a1b'),
        step(1.1, 'detach', 'shop.example'),
        step(1.21, 'attach', 'shop.example'),
        step(6.4, 'verify', 'shop.example'),
        step(6.6, 'detach', 'www.shop.example'),
        step(6.72, 'attach', 'www.shop.example'),
        step(9.9, 'verify', 'www.shop.example'),
        step(11.2, 'import', 'scm'),
        step(12.6, 'push', 'ELB eu-de'),
      ]),
    },
    outcomes: [
      outcome(name, 'rotated', later(13_000, begun), {
        bundle: current,
        durationMs: 13_000,
        sentence: '2 domains serve the new certificate.',
        domains: [
          { gateway: 'apig 0a1b', host: 'shop.example', status: 'served', gapMs: 110 },
          { gateway: 'apig 0a1b', host: 'www.shop.example', status: 'served', gapMs: 120 },
        ],
        pushed: [{ service: 'ELB', project: 'eu-de', status: 'pushed' }],
      }),
      outcome(name, 'rotated', later(-60 * day, now), {
        bundle: old,
        sentence: '2 domains serve the new certificate.',
      }),
    ],
  })
}

/** A fleet of many certificates with everything that happens to fleets. */
export function largeModel(count: number, now: Date = start): StatusModel {
  const names = Array.from({ length: count }, (_, index) => `service-${String(index).padStart(4, '0')}`)
  const settings = config(
    Object.fromEntries(names.map((name, index) => [name, { owner: `team-${index % 12}` }])),
  )
  const states = new Map<string, RotationState>()
  const observations: DomainObservation[] = []
  const renewals = new Map<string, RenewalFacts>()
  names.forEach((name, index) => {
    const age = (index * 7) % 31
    const facts = bundle(name, 2, later(-age * day - (index % 24) * hour, now))
    const older = bundle(name, 1, later(-(age + 31) * day, now))
    const broken = index % 131 === 5
    states.set(name, {
      ...rotatedState(name, older, facts, now),
      outcomes: [
        ...(index % 97 === 3
          ? [
              outcome(name, 'failed', later(-hour, now), {
                bundle: bundle(name, 3, now),
                failures: [failure],
                sentence: 'The new certificate could not be attached.',
              }),
            ]
          : []),
        ...rotatedState(name, older, facts, now).outcomes,
      ],
    })
    for (const label of ['www', 'api', 'login', 'static', 'm']) {
      const host = label === 'www' ? `www.${name}.example` : `${label}.${name}.example`
      const names_ = { names: [...facts.names, `*.${name}.example`] }
      const result = broken && label === 'api' ? serving(older, names_) : serving(facts, names_)
      observations.push(seen(name, host, result))
    }
    const renewAt = later(Math.max(0.02, 31 - age) * day, now).toISOString()
    if (index % 97 === 8) {
      const failing = {
        since: later(-2 * day, now).toISOString(),
        attempts: 6,
        failure: {
          ...failure,
          code: 'acme.invalid',
          message: `The CA could not see the DNS record of _acme-challenge.${name}.example`,
        },
      }
      renewals.set(name, { renewAt, failing })
    } else if (index % 53 !== 7) renewals.set(name, { renewAt })
  })
  return buildStatus({
    ...gathered(now, settings, { states, observations, renewals }),
    lastTick: { schema: 1, at: now.toISOString(), everyMs: hour },
    outbox: emptyOutbox(),
  })
}

/** Names and values that try to break out of every format. */
export const hostile =
  '</script><script>alert(1)</script><img src=x onerror=alert(2)>"\'`{}&*_~[x](javascript:alert(3))\u202e\n@all <!channel>'

export function hostileModel(now: Date = start): StatusModel {
  const facts = { ...bundle('evil', 1, later(-40 * day, now)), commonName: hostile, names: [hostile] }
  const states = new Map([
    [
      'evil',
      deployed('evil', facts, now, {
        outcomes: [
          outcome('evil', 'failed', now, {
            bundle: facts,
            sentence: hostile,
            failures: [{ ...failure, message: hostile, next: hostile }],
          }),
        ],
      }),
    ],
    ['empty', state('empty')],
  ])
  const outbox = settle(
    queue(emptyOutbox(), [], new Set([hostile]), now),
    {
      channel: hostile,
      digest: { id: 'x', at: now.toISOString(), notices: [] },
      queuedAt: now.toISOString(),
      attempts: 0,
    },
    now,
    new Failure({ ...failure, message: hostile }),
  )
  return buildStatus({
    ...gathered(now, config({ evil: { owner: hostile }, empty: {} }), {
      states,
      observations: [seen('evil', hostile, serving(facts))],
    }),
    discovered: [
      {
        where: hostile,
        id: hostile,
        name: hostile,
        commonName: hostile,
        names: [hostile],
        notAfter: later(day, now),
        hosts: [{ host: hostile }],
      },
    ],
    outbox,
  })
}
