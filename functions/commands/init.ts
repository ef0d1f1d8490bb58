import { mkdir } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { agencyPolicies, cloudOf, layOut } from '../../deploy/policies.ts'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import { configForFunction } from '../../shared/config/for-function.ts'
import { loadConfig } from '../../shared/config/load.ts'
import {
  type DraftOptions,
  draftConfig,
  everywhere,
  grouped,
  lifeOf,
  type SurveyedGateway,
  summary,
  writeNew,
} from './draft.ts'
import { painter } from './render.ts'
import { columnsOf, useColor } from './session.ts'
import { type Access, surveyAccount } from './survey.ts'
import { readArguments, UsageError } from './usage.ts'

/**
 * `cert-rotation init`: looks at the gateways of an account, shows what they serve, and writes a rotation.yaml for the
 * domains that were chosen. Every answer can be an option, so it needs no terminal; secrets come from the environment
 * and are never written. With `--emulator` the account is the embedded cloud.
 */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('init', args)
  if (values.emulator) {
    const { initEmulator } = await import('./init-emulator.ts')
    return initEmulator(values.config)
  }
  const { draft, access, environment } = await ask(values)
  const { projectId, gateways } = await surveyAccount(access).catch((thrown) => {
    throw asOptions(thrown)
  })
  const certificates = grouped(await choose(gateways, values.domain))
  const text = draftConfig(certificates, { ...draft, projectId })
  await writeNew(values.config, text)
  const folder = dirname(resolve(values.config))
  if ('directory' in draft.store) await mkdir(resolve(folder, draft.store.directory), { recursive: true })
  await writeNew(
    resolve(folder, '.env.example'),
    environment.map((name) => `export ${name}=\n`).join(''),
    'keep',
  )
  await writePolicies(text, folder)
  process.stdout.write(
    summary(certificates, values.config, painter(useColor(process.stdout)), columnsOf(process.stdout)),
  )
  process.stdout.write(
    '\nBeside it: .env.example, and policies/ with what this config needs to be allowed.\n',
  )
  return 0
}

/** The least that whoever runs this config must be allowed: the user of a machine, or the agency that `setup` makes. */
async function writePolicies(text: string, folder: string): Promise<void> {
  const config = loadConfig(configForFunction(text).text, {
    file: 'the config',
    environment: {},
    inFunction: true,
  })
  const policies = agencyPolicies(config, cloudOf(config.cloud!.region))
  await mkdir(resolve(folder, 'policies'), { recursive: true })
  for (const [part, policy] of Object.entries(policies))
    await writeNew(resolve(folder, `policies/cert-rotation-${part}.json`), layOut(policy), 'keep')
}

const asOption: readonly [RegExp, string][] = [
  [/cloud\.region and cloud\.endpoints\.\w+/g, '--region and --endpoint'],
  [/cloud\.endpoints\.\w+/g, '--endpoint'],
  [/cloud\.region/g, '--region'],
  [/cloud\.projectId/g, '--project'],
  [/cloud\.auth\.accessKey/g, 'HW_ACCESS_KEY and HW_SECRET_KEY'],
  [/ in rotation\.yaml/g, ''],
]

/** What a setting is called while there is no file yet that could be corrected. */
function asOptions(thrown: unknown): unknown {
  if (!(thrown instanceof Failure)) return thrown
  const { code, kind, message, next, facts } = thrown
  const said = asOption.reduce((text, [setting, option]) => text.replace(setting, option), next)
  return new Failure({ code, kind, message, next: said, facts, cause: thrown })
}

interface Answers {
  draft: Omit<DraftOptions, 'projectId'>
  access: Access
  /** Names of the variables that the config reads. */
  environment: string[]
}

type Options = ReturnType<typeof readArguments<'init'>>['values']

async function ask(values: Options): Promise<Answers> {
  if (values.bucket && values.directory) throw new UsageError('--bucket and --directory are one or the other')
  const region = values.region ?? (await typed('--region', 'Region', 'eu-de'))
  const id = process.env.HW_ACCESS_KEY || (await typed('HW_ACCESS_KEY in the environment', 'Access key id'))
  const secret =
    process.env.HW_SECRET_KEY ||
    (await typed('HW_SECRET_KEY in the environment', 'Secret key', undefined, true))
  const token = process.env.HW_SECURITY_TOKEN
  const environment = ['HW_ACCESS_KEY', 'HW_SECRET_KEY', ...(token ? ['HW_SECURITY_TOKEN'] : [])]
  const endpoints = values.endpoint ? { endpoints: everywhere(values.endpoint) } : {}
  const key = { id, secret: new Secret(secret), securityToken: token ? new Secret(token) : undefined }
  return {
    environment,
    access: { region, projectId: values.project, key, ...endpoints },
    draft: {
      region,
      store: values.bucket
        ? { bucket: values.bucket, ...(values.endpoint ? { endpoint: values.endpoint } : {}) }
        : { directory: values.directory ?? './bucket' },
      accessKey: {
        id: '${HW_ACCESS_KEY}',
        secret: '${HW_SECRET_KEY}',
        ...(token ? { securityToken: '${HW_SECURITY_TOKEN}' } : {}),
      },
      ...endpoints,
      ...(values.connect ? { connect: values.connect } : {}),
    },
  }
}

/** Asks a person; without a terminal it says which option would have been the answer. */
async function typed(option: string, message: string, initial?: string, hidden = false): Promise<string> {
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new UsageError(
      `init needs ${option} where there is no terminal to ask at`,
      'cert-rotation init --help shows what it takes.',
    )
  const { isCancel, password, text } = await import('@clack/prompts')
  const validate = (value: string | undefined) => (value ? undefined : 'Something is needed here.')
  const answer = hidden
    ? await password({ message, validate })
    : await text({ message, validate, ...(initial ? { initialValue: initial } : {}) })
  if (isCancel(answer)) throw stopped()
  return answer
}

function stopped(): UsageError {
  return new UsageError('init was stopped; nothing was written', 'Run it again at any time.')
}

/** The domains of `--domain`, those a person ticks, or all. */
async function choose(gateways: SurveyedGateway[], wanted: string[]): Promise<SurveyedGateway[]> {
  const hosts = gateways.flatMap(({ domains }) => domains.map(({ host }) => host))
  if (hosts.length === 0)
    throw new Failure({
      code: 'init.nothing-found',
      kind: 'later',
      message: `There are ${gateways.length} gateways in this project and no custom domain on any of them`,
      next: 'Bind a domain to an API group in the console, or name another --region or --project.',
    })
  const unknown = wanted.find((host) => !hosts.includes(host))
  if (unknown)
    throw new UsageError(
      `no gateway here has the domain ${unknown}`,
      `There are: ${hosts.slice(0, 20).join(', ')}`,
    )
  const ticked = wanted.length > 0 ? wanted : await tick(gateways)
  return gateways
    .map((gateway) => ({ ...gateway, domains: gateway.domains.filter(({ host }) => ticked.includes(host)) }))
    .filter(({ domains }) => domains.length > 0)
}

async function tick(gateways: SurveyedGateway[]): Promise<string[]> {
  const hosts = [...new Set(gateways.flatMap(({ domains }) => domains.map(({ host }) => host)))]
  if (!process.stdin.isTTY || !process.stdout.isTTY) return hosts
  const { isCancel, multiselect } = await import('@clack/prompts')
  const options = gateways.flatMap(({ name, domains }) =>
    domains.map(({ host, bound }) => ({
      value: host,
      label: host,
      hint: `${name}, ${lifeOf(bound?.notAfter)}`,
    })),
  )
  const answer = await multiselect({
    message: 'Which domains?',
    options,
    initialValues: hosts,
    required: true,
  })
  if (isCancel(answer)) throw stopped()
  return answer
}
