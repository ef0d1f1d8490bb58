// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${NAME} is the syntax under test
import { describe, expect, test } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import { type LoadOptions, loadConfig } from '../../shared/config/load.ts'

const minimal = 'store: { directory: ./bucket }\n'
const cloud = `cloud:
  region: eu-de
  auth: { token: "a-ready-token" }
`

function load(text: string, options: Partial<LoadOptions> = {}) {
  return loadConfig(text, { file: 'rotation.yaml', environment: {}, ...options })
}

function refusal(text: string, options: Partial<LoadOptions> = {}): Failure {
  try {
    load(text, options)
  } catch (error) {
    expect(error).toBeInstanceOf(Failure)
    return error as Failure
  }
  throw new Error('the configuration was accepted')
}

/** The problems without the leading file name. */
const problems = (text: string, options: Partial<LoadOptions> = {}) =>
  refusal(text, options).facts.problems as string[]

describe('a configuration that is right', () => {
  test('may be as short as one store, and gets every default', () => {
    const config = load(minimal)
    expect(config.store.directory).toBe('./bucket')
    expect(config.concurrency).toBe(8)
    expect(config.requestTimeout).toBe(10_000)
    expect(config.alerts.thresholds).toEqual(['33%', '20%', '10%', '3d', '1d'])
    expect(config.certificates).toEqual({})
  })

  test('may use everything that the manual shows', () => {
    const config = load(
      `cloud:
  region: eu-de
  projectId: \${PROJECT_ID}
  auth:
    accessKey: { id: \${HW_AK}, secret: \${HW_SK} }
  endpoints:
    roma: https://roma.example
    scm: https://scm.example/
store:
  bucket: my-certificates
certificates:
  shop:
    gateways:
      - flavour: apig
        instanceId: 0a1b
        domains: [api.shop.example, "*.shop.example", { groupId: g, domainId: d }]
        verify: { connect: 10.0.0.7:443 }
      - flavour: roma
        instanceId: 0a1b
        strategy: update
        domains: [{ host: api.shop.example, verify: false }]
    push:
      - { service: ELB, project: eu-de }
    trust: { private: roots.pem }
    renew:
      before: 25%
      acme: { directory: "https://acme.example/directory", dns: otc, ca: roots.pem }
alerts:
  thresholds: [33%, 3d]
  channels: [ { smn: "urn:smn:eu-de:p:topic" }, { webhook: "https://hooks.example/\${HOOK}", format: slack } ]
`,
      { environment: { PROJECT_ID: 'p1', HW_AK: 'ak', HW_SK: 'sk', HOOK: 'h' } },
    )
    expect(config.cloud?.projectId).toBe('p1')
    expect(config.cloud?.auth?.accessKey?.id).toBe('ak')
    expect(config.cloud?.auth?.accessKey?.secret.reveal()).toBe('sk')
    const [, webhook] = config.alerts.channels
    expect(webhook && 'webhook' in webhook && webhook.webhook.reveal()).toBe('https://hooks.example/h')
    expect(config.certificates.shop?.trust).toEqual({ private: 'roots.pem' })
  })

  test('may repeat itself by anchors and merge keys', () => {
    const config = load(`${cloud}${minimal}certificates:
  shop: &base
    allowDowngrade: true
  blog:
    <<: *base
    deletePrivateKey: true
`)
    expect(config.certificates.blog).toMatchObject({ allowDowngrade: true, deletePrivateKey: true })
  })

  test('may start with a byte order mark', () => {
    expect(load(`\uFEFF${minimal}`).store.directory).toBe('./bucket')
  })
})

describe('a variable of the environment', () => {
  test('is put in after the YAML is read, so its value can not become YAML', () => {
    const value = 'x"\nconcurrency: 1\nstatus: { public: true }'
    const config = load('store: { directory: ${DIR} }', { environment: { DIR: value } })
    expect(config.store.directory).toBe(value)
    expect(config.concurrency).toBe(8)
  })

  test('is not looked up again inside a value', () => {
    const config = load('store:\n  directory: ${A}', { environment: { A: '${B}', B: 'wrong' } })
    expect(config.store.directory).toBe('${B}')
  })

  test('is kept literal behind two dollar signs', () => {
    const config = load('store: { directory: "a-$${NAME}-$${-b" }', { environment: { NAME: 'wrong' } })
    expect(config.store.directory).toBe('a-${NAME}-${-b')
  })

  test('that is missing is named with its field and line, and nothing else is said about that field', () => {
    expect(problems('store:\n  bucket: b123\n  endpoint: ${OBS}\n  accessKey: { id: a, secret: b }')).toEqual(
      [
        'store.endpoint (line 3): environment variable OBS is not set; set OBS, or write the value here ($${ stands for a literal ${)',
      ],
    )
  })

  test('that is empty is an error where nothing else gives the field a value', () => {
    expect(problems('store: { directory: ${DIR} }', { environment: { DIR: '' } })).toEqual([
      'store.directory (line 1): the environment variable is empty; give it a value',
    ])
    expect(load('store: { directory: "a${DIR}" }', { environment: { DIR: '' } }).store.directory).toBe('a')
  })

  test('whose name is malformed is an error', () => {
    for (const text of ['${A-B}', '${', '${}', '${1}', '${A:-x}']) {
      expect(problems(`store: { directory: '${text}' }`, { environment: { A: 'x' } })[0]).toContain(
        'store.directory (line 1): `${` is not followed by the name',
      )
    }
  })
})

test('without a store says what people write there, on one machine and in a bucket', () => {
  expect(problems('name: x')[0]).toBe(
    'store: is missing; write store: { bucket: NAME }, or on one machine store: { directory: ./bucket }',
  )
})

describe('what was copied with more than itself', () => {
  const key = (id: string, secret: string) =>
    `cloud: { region: eu-de, auth: { accessKey: { id: ${JSON.stringify(id)}, secret: ${JSON.stringify(secret)} } } }\n${minimal}`
  test.each([
    ['a line break of Windows at the end of a secret', key('ABC', 'geheim\r'), 'cloud.auth.accessKey.secret'],
    ['a space before a secret', key('ABC', ' geheim'), 'cloud.auth.accessKey.secret'],
    ['a byte order mark before an id', key('\uFEFFABC', 'geheim'), 'cloud.auth.accessKey.id'],
    [
      'a line break in a token',
      `cloud: { region: eu-de, auth: { token: "abc\\n" } }\n${minimal}`,
      'cloud.auth.token',
    ],
    [
      'a zero byte in a project',
      `cloud: { region: eu-de, projectId: "a\\0b", auth: { token: abc } }\n${minimal}`,
      'cloud.projectId',
    ],
  ])('%s is refused, and not repeated', (_, text, path) => {
    const [problem] = problems(text)
    expect(problem).toMatch(
      / has the wrong form; write it without spaces, line breaks .* more copied than it\?$/,
    )
    expect(problem!.startsWith(path)).toBe(true)
    expect(problem).not.toContain('geheim')
  })
})

describe('an unknown name', () => {
  test.each([
    [
      'store: { directoy: x, bucket: b12 }',
      'store.directoy (line 1): "directoy" is not a known name; did you mean directory?',
    ],
    [
      `${minimal}certificate: {}`,
      'certificate (line 2): "certificate" is not a known name; did you mean certificates?',
    ],
    [
      `${minimal}certificates:\n  shop:\n    gateways:\n      - { flavour: apig, instance_id: x, domains: [a.example] }`,
      'certificates.shop.gateways[0].instance_id (line 5): "instance_id" is not a known name; did you mean instanceId?',
    ],
    [
      `${minimal}alerts: { channels: [ { webhok: x } ] }`,
      'alerts.channels[0].webhok (line 2): "webhok" is not a known name; did you mean webhook?',
    ],
    [
      `${minimal}status: { zebra: 1 }`,
      'status.zebra (line 2): "zebra" is not a known name; known here: public',
    ],
    [
      `${minimal}certificates: { shop.example: { trsut: any } }`,
      'certificates."shop.example".trsut (line 2): "trsut" is not a known name; did you mean trust?',
    ],
    [
      `${minimal}certificates: { shop: { gateways: [], updateWithoutWayBack: true } }`,
      'certificates.shop.updateWithoutWayBack (line 2): "updateWithoutWayBack" is not a known name here; it stands under certificates.<name>.gateways[]; known here: gateways,',
    ],
    [
      `${minimal}cloud: { region: eu-de, instanceId: x }`,
      'cloud.instanceId (line 2): "instanceId" is not a known name here; it stands under certificates.<name>.gateways[]; known here: ',
    ],
    [`${minimal}__proto__: { x: 1 }`, '__proto__ (line 2): "__proto__" is not a known name; known here: '],
  ])('in %j is named with section, field, line and the nearest known name', (text, expected) => {
    expect(problems(text).some((line) => line.startsWith(expected))).toBe(true)
  })
})

describe('choices that exclude or need each other', () => {
  const shop = (body: string) => `${cloud}${minimal}certificates:\n  shop:\n    ${body}\n`
  test.each([
    ['store: {}', 'store (line 1): names no place; write either bucket or directory'],
    [
      'store: { bucket: b12, directory: x, endpoint: "https://o.example", accessKey: { id: a, secret: b } }',
      'store.directory (line 1): stands beside bucket; keep exactly one of the two',
    ],
    ['store: { bucket: b12, accessKey: { id: a, secret: b } }', 'store.bucket (line 1): has no endpoint;'],
    ['store: { bucket: b12, endpoint: "https://o.example" }', 'store.bucket (line 1): needs an access key'],
    [
      'store: { bucket: b12, endpoint: "https://o.example", accessKey: { id: a, secret: b }, settle: 5s }',
      'store.settle (line 1): belongs to a directory',
    ],
    [
      'store: { directory: x, endpoint: "https://o.example" }',
      'store.endpoint (line 1): belongs to a bucket',
    ],
    [
      `${minimal}cloud: { region: eu-de, auth: { token: t, accessKey: { id: a, secret: b } } }`,
      'cloud.auth (line 2): has 2 kinds of credentials (accessKey, token); keep exactly one',
    ],
    [
      `${minimal}cloud: { region: eu-de, auth: { agency: true } }`,
      'cloud.auth.agency (line 2): exists only inside a function',
    ],
    [
      `${minimal}certificates: { shop: { gateways: [ { flavour: apig, instanceId: a, domains: [a.example] } ] } }`,
      'certificates.shop.gateways[0] (line 2): needs to know the cloud',
    ],
    [
      shop('push: [ { service: ELB, project: eu-de } ]'),
      'certificates.shop.push (line 7): needs the certificate manager, which is not offered in region "eu-de"',
    ],
    [
      shop('gateways: [ { flavour: roma, instanceId: a, domains: [a.example] } ]'),
      'certificates.shop.gateways[0].flavour (line 7): roma is not known to be offered in region "eu-de"; write cloud.endpoints.roma',
    ],
    [
      shop('gateways: [ { flavour: apig, instanceId: a, domains: [a.example, b.example, A.example.] } ]'),
      'certificates.shop.gateways[0].domains[2] (line 7): is listed already as certificates.shop.gateways[0].domains[0]; delete one of the two',
    ],
    [
      `${shop('gateways: [ { flavour: apig, instanceId: a, domains: [a.example] } ]')}  blog:\n    gateways: [ { flavour: apig, instanceId: a, domains: [{ host: a.example }] } ]`,
      'certificates.blog.gateways[0].domains[0] (line 9): belongs to certificate "shop" on the same gateway already, and both would fight over it; list the domain under one certificate only',
    ],
    [
      `${shop('gateways:')}
      - { flavour: apig, instanceId: a, domains: [a.example] }
      - { flavour: apig, instanceId: b, domains: [a.example] }
      - { flavour: apig, instanceId: a, scope: global, attachFirst: true, domains: [b.example] }
`,
      'certificates.shop.gateways[2] (line 11): names the gateway of certificates.shop.gateways[0] a second time; list its domains there',
    ],
    [
      shop('renew: { names: [a.example], acme: { directory: "https://a.example" } }'),
      'certificates.shop.renew.acme (line 7): has no way to prove the names',
    ],
    [
      shop(
        'renew: { names: ["*.a.example"], acme: { directory: "https://a.example", http: { bucket: b12 } } }',
      ),
      'certificates.shop.renew.acme (line 7): can prove the wildcard "*.a.example" by DNS only',
    ],
    [
      shop('renew: { acme: { directory: "https://a.example", dns: otc } }'),
      'certificates.shop.renew (line 7): has no names to order',
    ],
    [
      shop('gateways: [ { flavour: apig, instanceId: a, domains: ["https://a.example/"] } ]'),
      'certificates.shop.gateways[0].domains[0] (line 7): is more than a host name',
    ],
    [
      shop('gateways: [ { flavour: apig, instanceId: a, domains: ["a..example"] } ]'),
      'certificates.shop.gateways[0].domains[0] (line 7): is not a host name',
    ],
    [
      `${minimal}certificates: { a..b: {} }`,
      'certificates."a..b" (line 2): has two dots in a row in its name',
    ],
    [
      `${minimal}alerts: { channels: [ { smn: "urn:smn:x" } ] }`,
      'alerts.channels[0].smn (line 2): needs to know the cloud',
    ],
  ])('are refused: %j', (text, expected) => {
    expect(problems(text).filter((line) => line.startsWith(expected))).toHaveLength(1)
  })

  test('leave one domain name in two groups alone where both say which by id', () => {
    const config = load(
      shop(
        'gateways: [ { flavour: apig, instanceId: a, domains: [{ host: a.example, groupId: g1, domainId: d1 }, { host: a.example, groupId: g2, domainId: d2 }] } ]',
      ),
    )
    expect(config.certificates.shop?.gateways[0]?.domains).toHaveLength(2)
  })

  test('leave credentials to the agency inside a function', () => {
    const config = load('cloud: { region: eu-de }\nstore: { bucket: b12 }', { inFunction: true })
    expect(config.cloud?.auth).toBeUndefined()
  })
})

describe('text that is not a configuration', () => {
  test.each([
    ['', 'config.empty', 'rotation.yaml is empty'],
    ['# only a comment\n', 'config.empty', 'rotation.yaml is empty'],
    ['store:\n\tdirectory: x', 'config.not-yaml', 'line 2: is indented with a tab; indent with spaces only'],
    [
      `${minimal}store: { directory: y }`,
      'config.not-yaml',
      'line 2: "store" stands here a second time in the same section',
    ],
    [
      `${minimal}certificates: { shop: { gateways: [ { domains: [*.shop.example] } ] } }`,
      'config.not-yaml',
      'line 2: `*` at the start of a value',
    ],
    ['store: "', 'config.not-yaml', 'a quote, bracket, comma or colon is missing'],
    ['store: [a', 'config.not-yaml', 'or a bracket above is not closed'],
    [`${minimal}---\n${minimal}`, 'config.not-yaml', 'line 2: a second document starts'],
    ['- a', 'config.invalid', 'is a list; write { store }'],
    ['hello', 'config.invalid', 'is text; write { store }'],
    ['store:', 'config.invalid', 'store (line 1): has no value'],
    [`${minimal}concurrency: many`, 'config.invalid', 'concurrency (line 2): is text; write a whole number'],
    [`${minimal}concurrency: 0`, 'config.invalid', 'concurrency (line 2): is out of range; write at least 1'],
    [
      `${minimal}requestTimeout: 10`,
      'config.invalid',
      'requestTimeout (line 2): is a number; write a duration such as 10s',
    ],
    [
      `${minimal}requestTimeout: fast`,
      'config.invalid',
      'requestTimeout (line 2): has the wrong form; write a duration such as',
    ],
    [
      `${minimal}certificates: { "../x": {} }`,
      'config.invalid',
      'certificates."../x" (line 2): is not a usable name',
    ],
    [
      `${minimal}certificates: { shop: { trust: publik } }`,
      'config.invalid',
      'certificates.shop.trust (line 2): is not one of the known words; write public',
    ],
    [
      `${minimal}alerts: { channels: [ {} ] }`,
      'config.invalid',
      'alerts.channels[0] (line 2): is empty; write { smn }, { webhook }, { smtp } or { console }',
    ],
    [
      `${minimal}alerts: { channels: [ { smtp: { host: h } } ] }`,
      'config.invalid',
      'alerts.channels[0].smtp.from (line 2): is missing',
    ],
  ])('is refused with a sentence: %j', (text, code, expected) => {
    const failure = refusal(text)
    expect(failure.code).toBe(code)
    expect(failure.kind).toBe('never')
    expect(failure.message).toContain(expected)
    expect(failure.message).not.toMatch(/zod|invalid_|expected string|undefined/i)
  })

  test('is refused when its anchors multiply without end', () => {
    const levels = Array.from(
      { length: 9 },
      (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(', ')}]`,
    )
    expect(refusal(`a0: &a0 [x]\n${levels.join('\n')}`).message).toContain('repeats its anchors too often')
  })
})

test('Everything that is wrong is reported at once, in the order of the file, with the line of each', () => {
  const lines = problems(`cloud: { region: Eu-De, auth: { token: t, agency: true } }
store:
  bucket: b12
  directory: x
certificates:
  shop:
    push: ELB
    wrong: 1
alerts: { thresholds: [soon] }
`)
  expect(lines.map((line) => /\(line (\d+)\)/.exec(line)?.[1])).toEqual(['1', '4', '7', '8', '9'])
})

test('A secret appears neither in a message nor in the printed configuration', () => {
  const secret = 'hunter2-hunter2'
  const texts = [
    `store: { directory: x }\ncloud: { region: "${secret}", auth: { token: "${secret}", agency: ${secret} } }`,
    `store: { directory: x }\ncloud: { region: eu-de, auth: { password: { domain: d, user: u, password: "${secret}`,
    `store: { directory: x }\naccountKeySecret: [${secret}]`,
    `store: { directory: x }\naccountKeySecret: ${secret}: ${secret}`,
    `store: { directory: x }\naccountKeySecret: "\\q${secret}"`,
    `store: { directory: x }\naccountKeySecret: @${secret}`,
    `store: { directory: x }\naccountKeySecret: *${secret}`,
    `store: { directory: x }\naccountKeySecret: !${secret} x`,
    `store: { directory: x }\nconcurrency: $\{SECRET}\ncertificates: { shop: { trust: $\{SECRET} } }`,
    `store: { directory: x }\naccountKeySecret: x\n ${secret}\n${secret}`,
  ]
  for (const text of texts) {
    const failure = refusal(text, { environment: { SECRET: secret } })
    expect(JSON.stringify([failure.message, failure]), text).not.toContain('hunter2')
  }
  const config = load(`${minimal}accountKeySecret: ${secret}`)
  expect(config.accountKeySecret).toBeInstanceOf(Secret)
  expect(JSON.stringify(config)).not.toContain('hunter2')
})
