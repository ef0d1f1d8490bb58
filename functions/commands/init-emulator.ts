import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { day } from '../../shared/base/clock.ts'
import { Secret } from '../../shared/base/secret.ts'
import { instancesOf, shopDomains } from './demo-stage.ts'
import { draftConfig, everywhere, grouped, summary, writeNew } from './draft.ts'
import { painter } from './render.ts'
import { columnsOf, useColor } from './session.ts'
import { surveyAccount } from './survey.ts'

/**
 * `cert-rotation init --emulator`: the embedded cloud in the foreground, a rotation.yaml that works against it, and a
 * renewed certificate to drop. What to type next is printed; needs no terminal. Ends with Ctrl-C or SIGTERM.
 */
export async function initEmulator(configFile: string): Promise<number> {
  const { startEmulator } = await import('../../emulator/emulator.ts')
  const hosts = [...shopDomains.apig, ...shopDomains.roma]
  const emulator = await startEmulator({
    seed: {
      rules: { visibilityDelayMs: 1_500, latencyMs: 20 },
      certificates: [{ ref: 'old', generate: { names: hosts, notBefore: '-81d', notAfter: '+9d' } }],
      instances: instancesOf(shopDomains),
    },
  })
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  try {
    const { ready, url, tls } = emulator
    const [key] = ready.seed.accessKeys
    const draft = {
      region: ready.seed.region,
      projectId: ready.seed.project.id,
      endpoints: everywhere(url),
      store: { directory: './bucket' },
      // Made up by the embedded cloud and good for nothing else.
      accessKey: { id: key!.id, secret: key!.secret },
      connect: `${tls.host}:${tls.port}`,
    }
    const { region, projectId, endpoints } = draft
    const access = { region, projectId, endpoints, key: { id: key!.id, secret: new Secret(key!.secret) } }
    const certificates = grouped((await surveyAccount(access)).gateways)
    const folder = dirname(resolve(configFile))
    await writeNew(configFile, draftConfig(certificates, draft))
    await mkdir(join(folder, 'bucket'), { recursive: true })
    const now = emulator.clock.now().getTime()
    const renewed = await emulator.intermediate.issue({
      names: hosts,
      notBefore: new Date(now - day / 24),
      notAfter: new Date(now + 90 * day),
    })
    await mkdir(join(folder, 'renewed'), { recursive: true })
    await writeFile(join(folder, 'renewed/fullchain.pem'), renewed.fullchainPem)
    await writeFile(join(folder, 'renewed/privkey.pem'), renewed.privateKeyPem, { mode: 0o600 })
    const paint = painter(useColor(process.stdout))
    process.stdout.write(
      summary(certificates, configFile, paint, columnsOf(process.stdout)) +
        next(certificates[0]!.name, configFile, folder),
    )
    await stopped
    return 0
  } finally {
    await emulator.close()
  }
}

function next(name: string, configFile: string, folder: string): string {
  const here = relative(process.cwd(), folder)
  const option = configFile === 'rotation.yaml' ? '' : ` -c ${configFile}`
  const at = (path: string) => join(here, path)
  return `
The embedded cloud is running; Ctrl-C ends it. In another terminal, here:

  npx cert-rotation doctor${option}
  npx cert-rotation status${option}
  mkdir -p ${at(`bucket/incoming/${name}`)}
  cp ${at('renewed')}/*.pem ${at(`bucket/incoming/${name}/`)}
  npx cert-rotation plan${option}
  npx cert-rotation rotate${option}
  npx cert-rotation status${option}
`
}
