import { day } from '../../base/clock.ts'
import { printable, printableList } from '../../base/printable.ts'
import { CLIENT_AUTHENTICATION, isPurpose } from '../../certificate/summary.ts'
import type { Change, Difference, GatewayChange, Replacement } from './difference.ts'

/** One fact of a difference for a person. `told`: a message that must be short has it, too. */
export interface DifferenceRow {
  label: string
  text: string
  told?: true
  /** Somebody loses something by it, or has to know it beforehand. */
  warns?: true
}

/** Everything, in the order a person asks for it. */
export function differenceRows(difference: Difference): DifferenceRow[] {
  const { replaces, first, gateways, warnings } = difference
  return [
    ...replaces.flatMap((one) => [
      ...(replaces.length > 1 ? [{ label: 'on', text: hostList(one.hosts) }] : []),
      ...replacementRows(one),
    ]),
    ...(first.length > 0
      ? [{ label: 'first', text: `${hostList(first)}: nothing is bound now`, told: true as const }]
      : []),
    clientCaRow(difference.clientCa),
    ...gatewayRows(gateways),
    ...warnings.map((text): DifferenceRow => ({ label: 'warning', text, told: true, warns: true })),
  ]
}

/** What of it is worth a line in a message: nothing that stays as it was. */
export function changesInWords(difference: Difference): string[] {
  const told = differenceRows(difference).filter((row) => row.told)
  return [...new Set(told.map(({ label, text }) => `${label} ${text}`))]
}

function replacementRows({
  seen,
  validUntil,
  names,
  issuer,
  chain,
  key,
  uses,
}: Replacement): DifferenceRow[] {
  const listed = (texts: string[]) => printableList(texts, 6)
  const lostClient = uses?.lost.includes(CLIENT_AUTHENTICATION)
  const unlike = names && [
    ...(names.won.length > 0 ? [`won ${listed(names.won)}`] : []),
    ...(names.lost.length > 0 ? [`lost ${listed(names.lost)}`] : []),
  ]
  const chained = ({ old, new: now }: Change<string[]>): Change => ({
    ...(old ? { old: old.join(' ← ') || 'none' } : {}),
    new: now.join(' ← ') || 'none',
  })
  return [
    validUntilRow(validUntil),
    unlike
      ? unlike.length > 0
        ? { label: 'names', text: unlike.join('; '), told: true, ...warnsIf(names.lost.length > 0) }
        : { label: 'names', text: 'the same' }
      : { label: 'names', text: 'not compared: nobody shows the old ones' },
    changed('issuer', issuer),
    // Of another issuer it is another one anyway.
    issuer.old === issuer.new ? changed('chain', chained(chain)) : untold(changed('chain', chained(chain))),
    changed('key', key),
    ...(uses && uses.lost.length > 0
      ? [
          {
            label: 'use',
            text: `lost ${listed(uses.lost)}${lostClient ? ': it ceases to be a client certificate' : ''}`,
            // Every ECDSA key loses some key usage of an RSA key, which nobody misses.
            ...(uses.lost.some(isPurpose) ? { told: true as const, warns: true as const } : {}),
          },
        ]
      : [{ label: 'use', text: uses ? 'nothing lost' : 'not compared: nobody shows the old one' }]),
    ...(seen === 'handshake'
      ? []
      : [{ label: '', text: seen ? 'the old one as the gateway lists it' : 'nobody shows the old one' }]),
  ]
}

/** Told where it is another one than before. */
function changed(label: string, { old, new: now }: Change): DifferenceRow {
  const after = printable(now, 200)
  if (old === undefined) return { label, text: after }
  if (old === now) return { label, text: `${after}, as before` }
  return { label, text: `${printable(old, 200)} → ${after}`, told: true }
}

function untold({ told: _, ...row }: DifferenceRow): DifferenceRow {
  return row
}

/** Days decide; that it ends earlier than the old one nobody wants by mistake. */
function validUntilRow({ old, new: now }: Change): DifferenceRow {
  const label = 'valid until'
  const until = now.slice(0, 10)
  if (old === undefined) return { label, text: until, told: true }
  const days = Math.round((Date.parse(now) - Date.parse(old)) / day)
  const more = `${Math.abs(days)} day${Math.abs(days) === 1 ? '' : 's'} ${days < 0 ? 'earlier' : 'later'}`
  const text = `${old.slice(0, 10)} → ${until}${days === 0 ? '' : `, ${more}`}`
  return { label, text, told: true, ...warnsIf(days < 0) }
}

function clientCaRow({ old, new: now }: Change<string[]>): DifferenceRow {
  const shown = (prints: string[]) => prints.map((print) => `${print.slice(0, 16)}…`).join(', ') || 'none'
  const same = old?.length === now.length && now.every((one) => old.includes(one))
  const label = 'client CA'
  if (same) return { label, text: now.length > 0 ? `${shown(now)}, as before` : 'none' }
  return { label, text: `${old ? shown(old) : 'not known'} → ${shown(now)}`, told: true, warns: true }
}

function gatewayRows(gateways: readonly GatewayChange[]): DifferenceRow[] {
  return [
    ...alike('way back', gateways, ({ wayBack: { state, why } }) => {
      const text = `${state}: ${printable(why, 300)}`
      return state === 'none' ? { text, told: true, warns: true } : { text }
    }),
    ...alike('order', gateways, ({ order: [first, ...others] }) => {
      const then = others.length > 3 ? `${others.length} others` : others.join(', ')
      return { text: `${first}${then ? `, then ${then}` : ''}` }
    }),
    ...alike('gap', gateways, ({ gap }) => ({ text: gapWords(gap) })),
  ]
}

/** What is the same at every gateway is said once. */
function alike(
  label: string,
  gateways: readonly GatewayChange[],
  rowOf: (one: GatewayChange) => Omit<DifferenceRow, 'label'>,
): DifferenceRow[] {
  const rows = gateways.map((one) => ({ gateway: one.gateway, row: rowOf(one) }))
  const [first] = rows
  if (first && rows.every(({ row }) => row.text === first.row.text)) return [{ label, ...first.row }]
  return rows.map(({ gateway, row }) => ({ label, ...row, text: `${gateway}: ${row.text}` }))
}

function gapWords({ ms, measuredAt, why }: GatewayChange['gap']): string {
  if (ms === 0) return `none: ${why}`
  if (ms === undefined) return why
  return `up to ${ms} ms, ${why} (${measuredAt?.slice(0, 10)})`
}

function hostList(hosts: readonly string[]): string {
  return printableList(hosts, 4)
}

function warnsIf(it: boolean): { warns?: true } {
  return it ? { warns: true } : {}
}
