import { z } from 'zod'
import { Failure } from '../shared/base/failure.ts'
import { Secret } from '../shared/base/secret.ts'
import type { AsyncSettings } from './function-graph.ts'

/** A function as serverless.yml wants it, all defaults applied. */
export interface DesiredFunction {
  /** Name at FunctionGraph: `<service>-<stage>-<key>`. */
  name: string
  /** Name in serverless.yml. */
  key: string
  /** Source file with the exported `handler` (and `initializer`). */
  source: string
  runtime: string
  handler: string
  memorySize: number
  timeout: number
  description: string
  agency: string
  executionAgency: string
  environment: Record<string, string>
  secrets: Record<string, Secret>
  initializer: { handler: string; timeout: number } | undefined
  concurrency: number
  requestsPerInstance: number
  async: AsyncSettings
  triggers: DesiredTrigger[]
}

export interface DesiredTrigger {
  type: string
  status: 'ACTIVE' | 'DISABLED'
  data: Record<string, unknown>
}

export interface DesiredService {
  name: string
  stage: string
  region: string
  projectId: string | undefined
  keepVersions: number
  endpoints: { iam?: string; functiongraph?: string; smn?: string; lts?: string }
  functions: DesiredFunction[]
}

// YAML's `${env:NAME, ''}` gives an empty text where nothing is set.
const optionalText = z
  .string()
  .nullish()
  .transform((value) => value || undefined)
const variables = z
  .record(
    z.string().regex(/^[A-Za-z]\w{0,63}$/, 'is not a name of a variable'),
    z.union([z.string(), z.number(), z.boolean(), z.null()]),
  )
  .default({})
const topic = z
  .string()
  .regex(/^(urn:smn:.+)?$/, 'is not the urn of an SMN topic')
  .nullish()
  .transform((value) => value ?? '')
const memory = z.number().int().min(128).max(10_240)
const timeout = z.number().int().min(3).max(259_200)
const agencies = { agency: optionalText, executionAgency: optionalText }
const shared = {
  runtime: z
    .string()
    .regex(
      /^Node\.js(2\d|[3-9]\d)\.\d+$/,
      'cannot run the packages, which are made for Node.js20.15 and newer',
    )
    .optional(),
  memorySize: memory.optional(),
  timeout: timeout.optional(),
  environment: variables,
  secrets: variables,
  ...agencies,
}

const providerSchema = z.looseObject({
  ...shared,
  region: z.string().regex(/^[a-z0-9-]+$/, 'is not a region such as eu-de'),
  projectId: optionalText,
  failureTopic: topic,
  keepVersions: z.number().int().min(1).max(18).default(5),
  endpoints: z
    .strictObject({ iam: optionalText, functiongraph: optionalText, lts: optionalText })
    .default({ iam: undefined, functiongraph: undefined, lts: undefined }),
})

const functionSchema = z.looseObject({
  ...shared,
  handler: z
    .string()
    .regex(/^[\w./-]+\.handler$/, 'must be <path of the source without its extension>.handler'),
  description: z.string().max(512).default(''),
  initializer: z.strictObject({ timeout: z.number().int().min(1).max(300) }).optional(),
  concurrency: z.number().int().min(-1).max(1000).default(-1),
  requestsPerInstance: z.number().int().min(1).max(1000).default(1),
  asyncRetries: z.number().int().min(0).max(3).default(1),
  asyncMaximumAge: z.number().int().min(1).max(86_400).default(3600),
  events: z
    .array(
      z.strictObject({
        triggerTypeCode: z.enum(['OBS', 'TIMER', 'EVENTGRID', 'SMN']),
        status: z.enum(['ACTIVE', 'DISABLED']).default('ACTIVE'),
        eventData: z.record(z.string(), z.unknown()),
      }),
    )
    .default([]),
})

/** What osls hands over, as far as it is read here. */
export interface ServiceInput {
  service: string
  stage: string
  provider: Record<string, unknown>
  functions: Record<string, Record<string, unknown>>
}

/** serverless.yml with its variables resolved → what is to be there. Fails with `deploy.bad-config`, naming the field. */
export function readService(input: ServiceInput): DesiredService {
  const provider = check(providerSchema, input.provider, 'provider')
  const functions = Object.entries(input.functions).map(([key, value]) => {
    const fn = check(functionSchema, value, `functions.${key}`)
    const name = `${input.service}-${input.stage}-${key}`
    if (!/^[A-Za-z][\w-]{0,58}[A-Za-z0-9]$/.test(name))
      throw bad(
        `The function name ${name} is not valid at FunctionGraph: letters, digits, - and _, at most 60`,
      )
    const agency = fn.agency ?? provider.agency ?? ''
    return {
      name,
      key,
      source: fn.handler.replace(/\.handler$/, '.ts'),
      runtime: fn.runtime ?? provider.runtime ?? 'Node.js20.15',
      handler: 'index.handler',
      memorySize: fn.memorySize ?? provider.memorySize ?? 256,
      timeout: fn.timeout ?? provider.timeout ?? 300,
      description: fn.description,
      agency,
      executionAgency: fn.executionAgency ?? provider.executionAgency ?? agency,
      environment: texts({ ...provider.environment, ...fn.environment }),
      secrets: Object.fromEntries(
        Object.entries(texts({ ...provider.secrets, ...fn.secrets })).map(([one, text]) => [
          one,
          new Secret(text),
        ]),
      ),
      initializer: fn.initializer && { handler: 'index.initializer', timeout: fn.initializer.timeout },
      concurrency: fn.concurrency,
      requestsPerInstance: fn.requestsPerInstance,
      async: {
        retries: fn.asyncRetries,
        maximumAge: fn.asyncMaximumAge,
        failureTopic: provider.failureTopic,
      },
      triggers: fn.events.map(({ triggerTypeCode, status, eventData }) => ({
        type: triggerTypeCode,
        status,
        data: Object.fromEntries(
          Object.entries(eventData).flatMap(([name, value]) =>
            value === null || value === undefined || value === '' ? [] : [[snakeCase(name), value]],
          ),
        ),
      })),
    }
  })
  const { iam, functiongraph, lts } = provider.endpoints
  return {
    name: input.service,
    stage: input.stage,
    region: provider.region,
    projectId: provider.projectId,
    keepVersions: provider.keepVersions,
    endpoints: {
      ...(iam ? { iam } : {}),
      ...(functiongraph ? { functiongraph } : {}),
      ...(lts ? { lts } : {}),
    },
    functions,
  }
}

/** `scheduleType` → `schedule_type`. `Key_encode` is written as the service spells it. */
function snakeCase(name: string): string {
  return /^[A-Z]/.test(name) ? name : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** Variables without a value are left out, not set to nothing. */
function texts(values: Record<string, unknown>): Record<string, string> {
  const set = Object.entries(values).filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  )
  return Object.fromEntries(set.map(([name, value]) => [name, String(value)]).toSorted())
}

function check<T extends z.ZodType>(schema: T, value: unknown, where: string): z.output<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw bad(`${[where, ...issue!.path].join('.')} in serverless.yml: ${issue!.message}`)
}

function bad(message: string): Failure {
  return new Failure({
    code: 'deploy.bad-config',
    kind: 'never',
    message,
    next: 'Correct serverless.yml; its comments say what each field means.',
  })
}
