import { randomBytes } from 'node:crypto'
import { systemClock } from '../base/clock.ts'
import { asFailure, Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { openStore, openWiring, type Wiring } from '../wire/cloud.ts'
import { agencyKey, type PlatformContext, requestId, setting } from './context.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Where the config lies in the bucket. */
export const CONFIG_KEY = 'config/rotation.yaml'

interface Opened {
  text: string
  wiring: Wiring
}

/** Of this instance: connections outlive an invocation, credentials do not. */
let opened: Opened | undefined
let currentContext: PlatformContext = {}

/**
 * The outside as a function sees it. The config comes from user data (`ROTATION_CONFIG`, the YAML itself or a
 * file of the package) or from `config/rotation.yaml` in the bucket (`CONFIG_BUCKET`, `REGION`, `OBS_ENDPOINT`);
 * it is read at every invocation and the wiring made anew when it changed. Secrets in it are `${NAME}`, taken
 * from (encrypted) user data.
 */
export async function openService(
  context: PlatformContext,
  environment: Environment,
  log: Log,
): Promise<Wiring> {
  currentContext = context
  const text = await configText(context, environment, log)
  if (opened?.text === text) return opened.wiring
  const config = loadConfig(text, {
    file: 'rotation.yaml',
    environment: variables(context, environment),
    inFunction: true,
  })
  const wiring = await openWiring(options(config, context, environment, log))
  const before = opened
  opened = { text, wiring }
  // A run of another invocation of this instance may still hold a connection: closing waits for it.
  void before?.wiring
    .close()
    .catch((thrown) => log.warn('old connections did not close', { failure: asFailure(thrown) }))
  return wiring
}

function options(config: Config, context: PlatformContext, environment: Environment, log: Log) {
  return {
    config,
    folder: setting(context, environment, 'CONFIG_FOLDER') ?? environment.RUNTIME_CODE_ROOT ?? process.cwd(),
    clock: systemClock,
    random: Math.random,
    log,
    owner: `request ${requestId(context) ?? 'unknown'} ${randomBytes(3).toString('hex')}`,
    agency: () => agencyKey(currentContext),
  }
}

async function configText(context: PlatformContext, environment: Environment, log: Log): Promise<string> {
  const inline = setting(context, environment, 'ROTATION_CONFIG')
  if (inline) return inline
  const bucket = setting(context, environment, 'CONFIG_BUCKET')
  const region = setting(context, environment, 'REGION')
  if (!bucket || !region)
    throw new Failure({
      code: 'config.missing',
      kind: 'never',
      message: 'The function has neither ROTATION_CONFIG nor CONFIG_BUCKET and REGION in its user data',
      next: `Set CONFIG_BUCKET and REGION and put rotation.yaml into that bucket as ${CONFIG_KEY}.`,
    })
  const endpoint = setting(context, environment, 'OBS_ENDPOINT')
  const pathStyle = setting(context, environment, 'OBS_PATH_STYLE') === 'true'
  const bootstrap = { store: { bucket, region, pathStyle, ...(endpoint ? { endpoint } : {}) } }
  const config = loadConfig(JSON.stringify(bootstrap), {
    file: 'user data',
    environment: {},
    inFunction: true,
  })
  const store = openStore(options(config, context, environment, log))
  const stored = await store.get(CONFIG_KEY)
  if (!stored)
    throw new Failure({
      code: 'config.missing',
      kind: 'never',
      message: `There is no ${CONFIG_KEY} in the bucket ${bucket}`,
      next: `Upload rotation.yaml as ${CONFIG_KEY}.`,
      facts: { bucket },
    })
  return new TextDecoder().decode(stored.bytes)
}

/** `${NAME}` in the config: user data first, then the environment. */
function variables(context: PlatformContext, environment: Environment): Environment {
  return new Proxy(environment, {
    get: (_, name) => (typeof name === 'string' ? setting(context, environment, name) : undefined),
  })
}

/** For tests: forgets what this instance has opened. */
export async function closeService(): Promise<void> {
  const before = opened
  opened = undefined
  await before?.wiring.close()
}
