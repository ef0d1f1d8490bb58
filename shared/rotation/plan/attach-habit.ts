import type { GatewayConfig } from '../../config/schema.ts'
import type { BindOrder } from '../record/difference.ts'
import type { BundleFacts, GatewayFinding, KnownGateway, RotationState } from '../record/state.ts'

export interface OrderFacts {
  setting: GatewayConfig['attachFirst']
  /** What the gateway was seen to do; undefined where nobody has tried. */
  habit: KnownGateway['attach']
  replaces: boolean
  /** Old and new differ in their algorithm: they may stand side by side. */
  otherAlgorithm: boolean
  /** The first of its gateway in this run: it finds out, every time anew, what the others rely on. */
  goesFirst: boolean
}

/** Attach first wherever that may succeed: it touches nothing where it is refused. */
export function orderOf({ setting, habit, replaces, otherAlgorithm, goesFirst }: OrderFacts): BindOrder {
  if (!replaces) return 'attach'
  if (otherAlgorithm) return 'attach, detach'
  if (setting === 'never') return 'detach, attach'
  if (setting === 'always' || goesFirst) return 'attach, detach'
  return habit === 'refuses' ? 'detach, attach' : 'attach, detach'
}

const SENTENCES: Record<NonNullable<KnownGateway['attach']>, string> = {
  replaces: 'an attach takes the place of what is bound, without a gap',
  'keeps both': 'an attach keeps what is bound beside the new one, without a gap',
  refuses: 'an attach beside what is bound is refused (APIG.2051), so the old one is detached first',
}

/** What was seen at a gateway. A state file that somebody has edited proves nothing: then nothing is known. */
export function knownGateway(state: Pick<RotationState, 'gateways'>, key: string): KnownGateway {
  const { gateways } = state
  const known =
    typeof gateways === 'object' && gateways !== null && Object.hasOwn(gateways, key)
      ? gateways[key]
      : undefined
  if (typeof known !== 'object' || known === null) return {}
  const { attach, attachSeenAt, wayBack } = known
  return {
    ...(attach !== undefined && Object.hasOwn(SENTENCES, attach) ? { attach } : {}),
    ...(typeof attachSeenAt === 'string' ? { attachSeenAt } : {}),
    ...(typeof wayBack?.refused === 'object' && wayBack.refused !== null ? { wayBack } : {}),
  }
}

/** Adds to what is known of a gateway; what was learnt before and is no longer so is forgotten. */
export function learn(state: RotationState, key: string, more: Partial<KnownGateway>): void {
  state.gateways = { ...state.gateways, [key]: { ...knownGateway(state, key), ...more } }
}

/** What is known of the gateways of one rotation, for `plan` and `result.json`. */
export function findingsOf(
  state: Pick<RotationState, 'gateways'>,
  gateways: Iterable<string>,
  bundle: Pick<BundleFacts, 'digest'>,
): GatewayFinding[] {
  const findings: GatewayFinding[] = []
  for (const gateway of gateways) {
    const { attach, attachSeenAt, wayBack } = knownGateway(state, gateway)
    const rehearsed = wayBack?.digest === bundle.digest ? wayBack : undefined
    const refused = Object.values(rehearsed?.refused ?? {})
    const sentences = [
      ...(attach ? [`${SENTENCES[attach]}${attachSeenAt ? ` (seen ${attachSeenAt})` : ''}`] : []),
      ...(rehearsed?.proven ? ['what was bound could be attached again before anything was changed'] : []),
      ...refused.map((words) => `no way back: ${words}`),
    ]
    if (sentences.length === 0) continue
    findings.push({
      gateway,
      ...(attach ? { attach } : {}),
      ...(rehearsed ? { wayBack: rehearsed.proven ? 'proven' : 'none' } : {}),
      sentence: `${gateway}: ${sentences.join('; ')}`,
    })
  }
  return findings
}
