import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const script = resolve(dirname(fileURLToPath(import.meta.url)), '../../.ci/install-pebble.sh')
const apt = '/usr/bin/apt-get'
const skipped = existsSync(apt) ? '' : ` (skipped: there is no ${apt} here)`

/** apt reads the sources itself; only its downloads are taken from it, so that nothing leaves the machine. */
describe.skipIf(skipped)(`where .ci/install-pebble.sh gets Pebble from${skipped}`, () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'install-pebble-'))
    for (const name of ['bin', 'parts', 'lists/partial']) mkdirSync(join(folder, name), { recursive: true })
    writeFileSync(join(folder, 'os-release'), 'VERSION_CODENAME=bookworm\n')
    writeFileSync(join(folder, 'sources.list'), '')
    writeFileSync(
      join(folder, 'apt.conf'),
      `Dir::Etc::sourcelist "${folder}/sources.list";\nDir::Etc::sourceparts "${folder}/parts";\nDir::State::lists "${folder}/lists";\n`,
    )
    const wrapper = `#!/bin/bash
[ "$1" = indextargets ] && exec ${apt} "$@"
for one in "$@"; do case "$one" in Dir::Etc::sourcelist=*) cat "\${one#*=}" >>"${folder}/asked" ;; esac; done
exit 1
`
    writeFileSync(join(folder, 'bin/apt-get'), wrapper)
    chmodSync(join(folder, 'bin/apt-get'), 0o755)
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  /** Repositories in the order in which they were asked, each once. */
  const asked = (environment: Record<string, string> = {}): string[] => {
    const { DEBIAN_MIRROR: _, ...rest } = process.env
    const env = {
      ...rest,
      PATH: `${folder}/bin:${process.env.PATH}`,
      APT_CONFIG: join(folder, 'apt.conf'),
      OS_RELEASE: join(folder, 'os-release'),
      ...environment,
    }
    expect(() => execFileSync('bash', [script, join(folder, 'target')], { env, stdio: 'pipe' })).toThrow()
    if (!existsSync(join(folder, 'asked'))) return []
    const lines = readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n')
    return [...new Set(lines.map((line) => /(https?:\S+)/.exec(line)![1]!))]
  }

  it('is the mirror that a one-line source names for this release', () => {
    writeFileSync(
      join(folder, 'sources.list'),
      `# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example:8080/debian/ bookworm main contrib
deb-src http://sources.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
deb http://vendor.example/apt stable main
`,
    )
    expect(asked()).toEqual(['http://mirror.example:8080/debian/'])
  })

  it('is the mirror that a deb822 source names, and of several every one in turn', () => {
    writeFileSync(
      join(folder, 'parts/debian.sources'),
      `Types: deb deb-src
URIs: http://one.example/debian http://two.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
Enabled: no
`,
    )
    expect(asked()).toEqual(['http://one.example/debian/', 'http://two.example/debian/'])
  })

  it('is what DEBIAN_MIRROR says, where it is set', () => {
    expect(asked({ DEBIAN_MIRROR: 'http://chosen.example/debian' })).toEqual(['http://chosen.example/debian'])
  })

  it('is nowhere where one that works is there already, however much it has to say about itself', () => {
    const pebble = join(folder, 'target/usr/bin/pebble')
    mkdirSync(dirname(pebble), { recursive: true })
    writeFileSync(pebble, '#!/bin/bash\necho "  -config string"\nfor n in {1..50000}; do echo "$n"; done\n')
    chmodSync(pebble, 0o755)
    const env = { ...process.env, PATH: `${folder}/bin:${process.env.PATH}` }
    expect(execFileSync('bash', [script, join(folder, 'target')], { env, encoding: 'utf8' }).trim()).toBe(
      join(folder, 'target'),
    )
    expect(existsSync(join(folder, 'asked'))).toBe(false)
  })

  it('is nowhere, rather than a host that nobody chose, where the sources name none', () => {
    expect(asked()).toEqual([])
  })
})
