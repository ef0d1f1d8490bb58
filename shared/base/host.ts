import { domainToASCII } from 'node:url'

/** The form in which host names are compared: people write `Bücher.example.`, gateways and certificates `xn--bcher-kva.example`. */
export function asciiHost(host: string): string {
  const name = host.replace(/\.$/, '')
  // By far the most names; the conversion is slow.
  if (/^[\w.*-]+$/.test(name)) return name.toLowerCase()
  const ascii = name.startsWith('*.') ? `*.${domainToASCII(name.slice(2))}` : domainToASCII(name)
  // What is no host name at all is still compared with itself.
  return ascii === '' || ascii === '*.' ? name.toLowerCase() : ascii
}

export function sameHost(one: string, other: string): boolean {
  return asciiHost(one) === asciiHost(other)
}

/** This machine itself: nothing stands in between, and nobody reads along. `host` may have a port. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host)
}
