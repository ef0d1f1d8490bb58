import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { Failure } from '../base/failure.ts'

/**
 * Addresses that no chat service has: this machine, its network and the cloud's metadata service, where a webhook
 * would turn the function's credentials into a message. Ranges: IANA special-purpose registries (RFC 6890 and later).
 */
const blocked = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10], // holds 100.100.100.200, the metadata service of some clouds
  ['127.0.0.0', 8],
  ['169.254.0.0', 16], // holds 169.254.169.254
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  blocked.addSubnet(network, prefix, 'ipv4')
}
for (const [network, prefix] of [
  ['::', 128],
  ['::1', 128],
  ['fc00::', 7], // holds fd00:ec2::254
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
] as const) {
  blocked.addSubnet(network, prefix, 'ipv6')
}

/** Whether an address literal is loopback, link-local, private, multicast or a metadata service's. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '')
  const family = isIP(bare)
  if (family === 4) return blocked.check(bare, 'ipv4')
  if (family !== 6) return false
  if (blocked.check(bare, 'ipv6')) return true
  const embedded = embeddedIPv4(bare)
  return embedded !== undefined && blocked.check(embedded, 'ipv4')
}

/** IPv4 inside IPv6: mapped (`::ffff:`), compatible (`::`), NAT64 (`64:ff9b::`) and 6to4 (`2002:`). */
function embeddedIPv4(address: string): string | undefined {
  // The URL parser writes every form the same way: compressed, lower-case, without dots.
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const groups = expand(canonical)
  const first = groups.slice(0, 6).join(':')
  if (/^0:0:0:0:0:(0|ffff)$/.test(first) || first === '64:ff9b:0:0:0:0')
    return dotted(groups[6] ?? 0, groups[7] ?? 0)
  return canonical.startsWith('2002:') ? dotted(groups[1] ?? 0, groups[2] ?? 0) : undefined
}

function expand(canonical: string): string[] {
  const [head = '', tail] = canonical.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  return [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
}

function dotted(high: string | number, low: string | number): string {
  const [h, l] = [Number.parseInt(String(high), 16), Number.parseInt(String(low), 16)]
  return `${h >> 8}.${h & 255}.${l >> 8}.${l & 255}`
}

export function privateAddressFailure(what: string): Failure {
  return new Failure({
    code: 'notify.private-address',
    kind: 'never',
    message: `The URL of ${what} leads to an address of this machine, its network or the cloud's metadata service`,
    next: 'Set allowPrivateAddress: true beside it if the receiver is yours; otherwise correct the URL.',
  })
}

/** How names are resolved: `dns.lookup`, or a test's own. */
export type Resolve = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

/**
 * A `lookup` for `net.connect` that refuses private addresses. It sits between resolving and connecting, so that a
 * name cannot show one address to a check and another to the connection (DNS rebinding). One private address among
 * several is enough to refuse.
 */
export function guardedLookup(what: string, resolve: Resolve = systemLookup as Resolve): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '')
      if (addresses.some(({ address }) => isPrivateAddress(address)))
        return callback(privateAddressFailure(what), '')
      const [first] = addresses
      if (options.all === true || first === undefined) return callback(null, addresses)
      callback(null, first.address, first.family)
    })
  }
}
