import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import forge from 'node-forge'
import { Agent, request } from 'undici'

export interface Pebble {
  /** ACME directory URL. */
  directory: string
  /** PEM root of the server's own TLS certificate. */
  caPem: string
  httpPort: number
  /** PEM root that issued certificates chain to; another one after each start. */
  root(index?: number): Promise<string>
  /** RFC 9773 override: any text, also malformed. */
  setRenewalInfo(certificatePem: string, response: string): Promise<void>
  /** Newest last. */
  logLines: string[]
  /** Ends the process; `start` begins one with the same ports and an empty memory. */
  halt(): Promise<void>
  start(): Promise<void>
  remove(): Promise<void>
}

export interface PebbleOptions {
  /** As `findPebble` gives it. */
  binary: string
  /** `ip:port` that Pebble asks for DNS. */
  dns: string
  env?: Record<string, string>
  /** Fields of pebble.json's `pebble`. */
  config?: Record<string, unknown>
}

const installed = fileURLToPath(new URL('../node_modules/.cache/pebble/usr/bin/pebble', import.meta.url))

/** The program: a path that is given, what `.ci/install-pebble.sh` unpacked, or Debian's package; or why there is none. */
export function findPebble(path?: string): { binary: string } | { missing: string } {
  const binary = [path, installed, '/usr/bin/pebble'].find((one) => one !== undefined && existsSync(one))
  if (binary !== undefined) return { binary }
  return {
    missing:
      'Pebble, the ACME test server, is not installed: run .ci/install-pebble.sh (Debian), or install it as /usr/bin/pebble.',
  }
}

/** Starts Pebble on free loopback ports with a TLS certificate of its own; ready when it answers. */
export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const folder = await mkdtemp(join(tmpdir(), 'pebble-'))
  const [acme, management, http, tls] = await freePorts(4)
  const { certificatePem, keyPem } = serverCertificate()
  await writeFile(join(folder, 'cert.pem'), certificatePem)
  await writeFile(join(folder, 'key.pem'), keyPem)
  const config = {
    pebble: {
      listenAddress: `127.0.0.1:${acme}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: join(folder, 'cert.pem'),
      privateKey: join(folder, 'key.pem'),
      httpPort: http,
      tlsPort: tls,
      ocspResponderURL: '',
      externalAccountBindingRequired: false,
      retryAfter: { authz: 1, order: 1 },
      ...options.config,
    },
  }
  await writeFile(join(folder, 'pebble.json'), JSON.stringify(config))
  const agent = new Agent({ connect: { ca: certificatePem } })
  const managementUrl = `https://127.0.0.1:${management}`
  const directory = `https://127.0.0.1:${acme}/dir`
  const logLines: string[] = []
  let child: ChildProcess | undefined

  async function start(): Promise<void> {
    const started = spawn(
      options.binary,
      ['-config', join(folder, 'pebble.json'), '-dnsserver', options.dns],
      {
        env: {
          PEBBLE_VA_NOSLEEP: '1',
          PEBBLE_WFE_NONCEREJECT: '0',
          PEBBLE_AUTHZREUSE: '0',
          ...options.env,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    child = started
    const listening = new Promise<void>((resolve, reject) => {
      const collect = (chunk: Buffer) => {
        const text = chunk.toString()
        logLines.push(...text.trimEnd().split('\n'))
        // Its last line before it serves.
        if (text.includes('ACME directory available')) resolve()
      }
      started.stdout.on('data', collect)
      started.stderr.on('data', collect)
      started.once('error', reject)
      started.once('exit', (code) =>
        reject(new Error(`pebble ended with ${code}: ${logLines.slice(-5).join('\n')}`)),
      )
    })
    await listening
    // The line is printed just before the socket listens.
    for (let attempt = 0; ; attempt++) {
      const answered = await get(directory, agent).then(
        () => true,
        () => false,
      )
      if (answered) return
      if (attempt > 100) throw new Error('pebble does not answer')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async function halt(): Promise<void> {
    const running = child
    child = undefined
    // Ctrl-C of a terminal ends it together with us: by a signal, so without an exit status.
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    const ended = new Promise((resolve) => running.once('exit', resolve))
    running.kill('SIGKILL')
    await ended
  }

  await start()
  return {
    directory,
    caPem: certificatePem,
    httpPort: http as number,
    logLines,
    root: (index = 0) => get(`${managementUrl}/roots/${index}`, agent),
    async setRenewalInfo(certificatePem, response) {
      const reply = await request(`${managementUrl}/set-renewal-info/`, {
        method: 'POST',
        dispatcher: agent,
        headers: { 'user-agent': 'emulator' },
        body: JSON.stringify({ certificate: certificatePem, ariResponse: response }),
      })
      if (reply.statusCode >= 300) throw new Error(await reply.body.text())
      await reply.body.dump()
    },
    halt,
    start,
    async remove() {
      await halt()
      await agent.destroy()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function get(url: string, dispatcher: Agent): Promise<string> {
  const reply = await request(url, { dispatcher, headers: { 'user-agent': 'emulator' } })
  const text = await reply.body.text()
  if (reply.statusCode >= 300) throw new Error(`${url}: ${reply.statusCode}`)
  return text
}

/** Free now; taken again a moment later by whoever asked. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

function serverCertificate(): { certificatePem: string; keyPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey)
  certificate.serialNumber = '01'
  certificate.validity.notBefore = new Date(Date.now() - 3_600_000)
  certificate.validity.notAfter = new Date(Date.now() + 86_400_000)
  const name = [{ name: 'commonName', value: 'Pebble on loopback' }]
  certificate.setSubject(name)
  certificate.setIssuer(name)
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true },
    {
      name: 'subjectAltName',
      altNames: [
        { type: 2, value: 'localhost' },
        { type: 7, ip: '127.0.0.1' },
      ],
    },
  ])
  certificate.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create())
  return { certificatePem: forge.pki.certificateToPem(certificate), keyPem: privateKey }
}
