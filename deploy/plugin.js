import { register } from 'tsx/esm/api'

const COMMON_FIELDS = [
  'runtime',
  'memorySize',
  'timeout',
  'agency',
  'executionAgency',
  'environment',
  'secrets',
]
const PROVIDER_FIELDS = [...COMMON_FIELDS, 'region', 'projectId', 'keepVersions', 'failureTopic', 'endpoints']
const FUNCTION_FIELDS = [
  ...COMMON_FIELDS,
  'handler',
  'description',
  'initializer',
  'concurrency',
  'requestsPerInstance',
  'asyncRetries',
  'asyncMaximumAge',
]
const fields = (names) => ({ properties: Object.fromEntries(names.map((name) => [name, {}])) })

/**
 * The provider `huawei` for osls, the maintained fork of Serverless Framework 3: Huawei Cloud and Open Telekom Cloud.
 * This file is all that osls sees; the work is done in commands.ts, loaded when a command needs it.
 */
export default class HuaweiProvider {
  static getProviderName() {
    return 'huawei'
  }

  constructor(serverless, options, { writeText }) {
    this.serverless = serverless
    this.options = options
    this.say = (line) => writeText(line)
    serverless.setProvider('huawei', this)
    // Unknown names are refused here; what a field may hold is for desired.ts, which says it in sentences.
    const schema = serverless.configSchemaHandler
    schema.defineProvider('huawei', { provider: fields(PROVIDER_FIELDS), function: fields(FUNCTION_FIELDS) })
    const [functions] = Object.values(schema.schema.properties.functions.patternProperties)
    functions.properties.events.items = { type: 'object' }
    this.hooks = {
      'before:package:createDeploymentArtifacts': () => this.pack(),
      'deploy:deploy': () => this.run('deploy'),
      'rollback:rollback': () => this.run('rollback'),
      'remove:remove': () => this.run('remove'),
      'invoke:invoke': () => this.run('invoke'),
      'logs:logs': () => this.run('logs'),
      'info:info': () => this.run('info'),
    }
  }

  async pack() {
    const artifacts = await this.run('package')
    for (const [name, artifact] of Object.entries(artifacts)) {
      this.serverless.service.getFunction(name).package = { individually: true, artifact }
    }
  }

  async run(command) {
    register()
    const { commands, sentencesOf } = await import('./commands.ts')
    const { service, provider, functions } = this.serverless.service
    try {
      return await commands[command]({
        root: this.serverless.serviceDir,
        service: { service, provider, functions, stage: this.options.stage ?? provider.stage ?? 'dev' },
        options: this.options,
        asked: this.serverless.processedInput.commands[0],
        environment: process.env,
        say: this.say,
      })
    } catch (thrown) {
      // The kind of error that osls prints as a sentence, with exit status 1.
      throw new this.serverless.classes.Error(sentencesOf(thrown), 'HUAWEI_PROVIDER')
    }
  }
}
