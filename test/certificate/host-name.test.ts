import { describe, expect, it } from 'vitest'
import { ipBytes, ipText } from '../../shared/certificate/general-name.ts'
import { hostMatches, parseHost } from '../../shared/certificate/host-name.ts'

describe('a name of a certificate covers a host as in a browser', () => {
  it.each([
    ['shop.example', 'shop.example', true],
    ['SHOP.example.', 'shop.EXAMPLE', true],
    ['www.shop.example', '*.shop.example', true],
    ['shop.example', '*.shop.example', false],
    ['a.b.shop.example', '*.shop.example', false],
    ['*.shop.example', '*.shop.example', true],
    ['*.shop.example', 'www.shop.example', false],
    ['*.www.shop.example', '*.shop.example', false],
    ['www.shop.example', 'w*.shop.example', false],
    ['www.shop.example', '*w.shop.example', false],
    ['www.shop.example', 'www.*.example', false],
    ['www.shop.example', '*.*.example', false],
    ['shop.example', '*', false],
    ['example', '*.', false],
    ['shop.com', '*.com', false],
    ['shop.co.uk', '*.co.uk', false],
    ['www.shop.co.uk', '*.shop.co.uk', true],
    ['www.web.de', '*.web.de', true],
    ['shop.github.io', '*.github.io', true],
    ['shop.org.uk', '*.org.uk', false],
    ['*.co.uk', '*.co.uk', false],
    ['shop.gov.cn', '*.gov.cn', false],
    ['city.kawasaki.jp', '*.kawasaki.jp', false],
    ['bücher.example', 'xn--bcher-kva.example', true],
    ['xn--bcher-kva.shop.example', '*.shop.example', true],
    ['bücher.example', 'bücher.example', false],
    ['my_host.example', 'my_host.example', true],
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '*.0.2.1', false],
    ['192.0.2.1', '192.0.2.2', false],
    ['[2001:DB8::1]', '2001:db8:0:0::1', true],
    ['::ffff:192.0.2.1', '192.0.2.1', false],
    ['', '', false],
    ['shop..example', 'shop..example', false],
    ['.shop.example', '*.shop.example', false],
    ['-shop.example', '-shop.example', false],
  ])('host %s, name %s: %s', (host, name, covered) => {
    expect(hostMatches(host, name)).toBe(covered)
  })
})

it.each([
  ['0300.168.1.1'],
  ['1.2.3'],
  ['256.1.1.1'],
  ['01.2.3.4'],
  ['0x7f.1'],
  ['1:2'],
  ['fe80::1%eth0'],
  ['::1]/x'],
])('%s is neither an address nor a host', (text) => {
  expect(ipBytes(text)).toBeUndefined()
  if (/^[\d.]+$/.test(text)) expect(parseHost(text)).toBeUndefined()
})

it('addresses are written in one form only', () => {
  for (const [text, form] of [
    ['192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::', '::'],
    ['1::8', '1::8'],
  ] as const)
    expect(ipText(ipBytes(text)!)).toBe(form)
})
