/**
 * Every command as data: what `help`, `--help`, did-you-mean and shell completion say of it, and how its words are
 * parsed. Imports nothing, so that a question about a command loads none of them.
 */
export interface OptionSpec {
  type: 'string' | 'boolean'
  short?: string
  multiple?: boolean
  default?: string | boolean | string[]
  /** What stands for the value in help, for example FILE. */
  value?: string
  help: string
  /** Taken, and neither shown nor completed. */
  hidden?: boolean
}

export interface CommandSpec {
  /** One line of `cert-rotation help`. */
  summary: string
  /** What it takes beside options; undefined where it takes nothing. */
  positionals?: string
  /** More than the summary says: what it changes, what it does not. */
  about?: string
  options: Readonly<Record<string, OptionSpec>>
  examples: readonly (readonly [command: string, does: string])[]
  exits: readonly (readonly [status: number, meaning: string])[]
}

/** What help and completion show of a command's options. */
export function shownOptions({ options }: CommandSpec): [string, OptionSpec][] {
  return Object.entries(options).filter(([, { hidden }]) => !hidden)
}

const config = {
  type: 'string',
  short: 'c',
  default: 'rotation.yaml',
  value: 'FILE',
  help: 'the config',
} as const
const json = {
  type: 'boolean',
  default: false,
  help: 'one JSON document on standard output; the log goes to standard error',
} as const
const quiet = { type: 'boolean', default: false, help: 'print only what went wrong' } as const
const common = { config, json, quiet } as const

const installing = {
  config,
  env: {
    type: 'string',
    value: 'FILE',
    help: 'NAME=value lines for ${NAME} in the config and for the access key',
  },
  // Node.js 20 takes this one for itself, wherever it stands: a wrong name is its message and exit status 9, not ours.
  'env-file': { type: 'string', value: 'FILE', help: 'as --env', hidden: true },
  bucket: { type: 'string', value: 'NAME', help: "in place of the config's store" },
  stage: {
    type: 'string',
    default: 'production',
    value: 'NAME',
    help: 'tells installations in one account apart: part of every name',
  },
  yes: { type: 'boolean', default: false, help: 'do not ask' },
} as const

const done = [0, 'done, or looked and found nothing to do'] as const
const failed = [1, 'something failed or was refused, or is critical and not acknowledged'] as const
const wrongUsage = [2, 'wrong usage or config'] as const
const takenPort = [2, 'wrong usage or config, or a port that is taken'] as const
const unfinished = [3, 'unfinished or waiting: run it again, it goes on where it stopped'] as const

export const specs = {
  demo: {
    summary: 'try it on this machine, without an account',
    about:
      'An embedded cloud with a few domains on a certificate that ends soon; a new bundle is dropped and rotated, and ' +
      'a TLS client shows what was served before, during and after. Nothing leaves this machine or stays on it.',
    options: {
      cert: { type: 'string', value: 'FILE', help: 'your own certificate (PEM)' },
      key: { type: 'string', value: 'FILE', help: 'its private key, unless --cert holds it' },
      host: {
        type: 'string',
        multiple: true,
        value: 'NAME',
        help: 'a name the certificate is for; repeatable',
      },
      seed: {
        type: 'string',
        value: 'FILE',
        help: 'another embedded cloud, such as emulator/seeds/attach-forbidden.json of the repository',
      },
      renew: { type: 'boolean', default: false, help: 'one that renews itself by ACME (needs Pebble)' },
    },
    examples: [
      ['cert-rotation demo', 'with a certificate made up for it'],
      ['cert-rotation demo --cert my.pem --key my.key --host my.name', 'with yours'],
    ],
    exits: [[0, 'every domain served the new certificate'], [1, 'something failed'], wrongUsage],
  },
  init: {
    summary: 'look at an account and write rotation.yaml for it',
    about:
      'Lists gateways, domains and what they serve, and changes nothing there. The access key comes from HW_ACCESS_KEY, ' +
      'HW_SECRET_KEY and, where it is temporary, HW_SECURITY_TOKEN. What is not given is asked, where there is a terminal.',
    options: {
      config: { ...config, help: 'the file to write; never over one that is there' },
      emulator: {
        type: 'boolean',
        default: false,
        help: 'against the embedded cloud, which it starts and keeps running',
      },
      region: { type: 'string', value: 'REGION', help: 'such as eu-de or cn-north-4' },
      project: { type: 'string', value: 'ID', help: "default: the region's main project" },
      domain: {
        type: 'string',
        multiple: true,
        default: [],
        value: 'NAME',
        help: 'only these; repeatable; default: all',
      },
      directory: { type: 'string', value: 'DIR', help: 'keep bundles and state there (default ./bucket)' },
      bucket: { type: 'string', value: 'NAME', help: 'keep them in this bucket of the region' },
      endpoint: { type: 'string', value: 'URL', help: 'one address for all services, for private endpoints' },
      connect: {
        type: 'string',
        value: 'HOST:PORT',
        help: 'where handshakes go, where names do not resolve',
      },
    },
    examples: [
      ['cert-rotation init --emulator', 'try everything without an account'],
      ['cert-rotation init --region eu-de --bucket my-certificates', 'for an account'],
    ],
    exits: [
      [0, 'written'],
      [1, 'the account could not be read, or has no domain'],
      [2, 'wrong usage, or the file is there'],
    ],
  },
  doctor: {
    summary: 'look at everything that it depends on, and say what to do',
    about:
      'Config, credentials, clock, store, gateways and what may be done there, handshakes, renewal, alert channels, and ' +
      'what is left over. Writes a marked object into the store and takes it away again; asks gateways to delete, attach ' +
      'and detach what is not there, which only a missing permission refuses. Nothing else is changed.',
    options: {
      config,
      'read-only': { type: 'boolean', default: false, help: 'only look: write and ask for nothing of that' },
      send: { type: 'boolean', default: false, help: 'send a test message on every alert channel' },
      json,
      quiet,
    },
    examples: [
      ['cert-rotation doctor', 'after init, before the first bundle, and whenever in doubt'],
      ['cert-rotation doctor --read-only --json', 'for a monitor'],
    ],
    exits: [
      [0, 'nothing failed; what a person should know is marked !'],
      [1, 'something does not work, or will not when it is needed'],
      wrongUsage,
    ],
  },
  rotate: {
    summary: 'rotate what lies in incoming/',
    positionals: '[NAME...]',
    about: 'Naming a certificate is asking for it: growing waits and earlier refusals do not count then.',
    options: common,
    examples: [
      ['cert-rotation rotate', 'whatever lies in incoming/'],
      ['cert-rotation rotate shop', 'this one, now, also after a refusal'],
    ],
    exits: [done, failed, wrongUsage, unfinished],
  },
  tick: {
    summary: "the timer's job, once: finish, renew, retire, watch, tell",
    options: common,
    examples: [
      ['cert-rotation tick', 'for example from cron, every half hour'],
      ['cert-rotation tick --json 2>tick.log', 'for a program that reads the result'],
    ],
    exits: [done, failed, wrongUsage, unfinished],
  },
  watch: {
    summary: 'keep watching the store, and tick: the whole service on one machine',
    options: {
      ...common,
      every: { type: 'string', default: '5m', value: 'DURATION', help: 'pause between two ticks' },
      poll: { type: 'string', default: '5s', value: 'DURATION', help: 'pause between two looks for uploads' },
      port: {
        type: 'string',
        default: '0',
        value: 'PORT',
        help: 'of the status page on loopback; 0 takes a free one',
      },
    },
    examples: [
      ['cert-rotation watch', 'until Ctrl-C'],
      ['cert-rotation watch --every 30m --port 8080', 'with the page at http://127.0.0.1:8080/'],
    ],
    exits: [[0, 'stopped by Ctrl-C or SIGTERM'], [1, 'it could not start'], takenPort],
  },
  plan: {
    summary: 'what would be done and why, changing nothing',
    positionals: '[NAME...]',
    options: common,
    examples: [
      ['cert-rotation plan', 'for every bundle in incoming/'],
      ['cert-rotation plan shop --json', 'for a program'],
    ],
    exits: [
      [0, 'nothing stands in the way'],
      [1, 'a bundle would be refused, or somebody could not be asked'],
      [3, 'a domain is on no gateway, or the bundle of a begun rotation is gone'],
      wrongUsage,
    ],
  },
  inspect: {
    summary: 'read any bundle and give the verdict, offline',
    positionals: 'FILE...',
    about: 'A file named - is standard input. Nothing is sent anywhere; private keys are never printed.',
    options: {
      host: {
        type: 'string',
        multiple: true,
        default: [],
        value: 'NAME',
        help: 'a name it must be valid for; repeatable',
      },
      at: { type: 'string', value: 'INSTANT', help: 'judge as of then, such as 2026-11-22T12:00:00Z' },
      trust: { type: 'string', default: 'any', value: 'ROOTS', help: 'public, any or private:FILE' },
      'password-file': { type: 'string', value: 'FILE', help: 'opens encrypted keys and PKCS#12' },
      json,
      quiet: { type: 'boolean', default: false, help: 'print nothing: the exit status tells' },
    },
    examples: [
      ['cert-rotation inspect fullchain.pem privkey.pem --host shop.example', 'would it be taken?'],
      ['cert-rotation inspect bundle.p12 --password-file pass.txt', 'with a password'],
    ],
    exits: [
      [0, 'accepted'],
      [1, 'refused, or nothing that could be judged'],
      [2, 'wrong usage, or a file that cannot be opened'],
    ],
  },
  status: {
    summary: 'what is in service, until when, and what happens next',
    about:
      "Looks at every domain once, in its gateway's list and by handshake, and writes the page into the store; what the " +
      'last tick was certain of counts, with its age. Changes nothing at any gateway.',
    options: {
      ...common,
      open: { type: 'boolean', default: false, help: 'show the page in a browser' },
      'fail-on': {
        type: 'string',
        default: 'critical',
        value: 'LEVEL',
        help: 'end with 1 from here on: warning, critical or never',
      },
    },
    examples: [
      ['cert-rotation status --open', 'the table, and the page'],
      ['cert-rotation status --quiet --fail-on warning', 'for a monitor: the exit status tells'],
    ],
    exits: [
      [0, 'nothing needs anybody, or all that does is acknowledged (snoozeUntil)'],
      [
        1,
        'something is critical (or a warning, with --fail-on warning), or a gateway or state could not be read',
      ],
      wrongUsage,
      [
        3,
        'a domain was not served as it should be in this one look, or no domain of a certificate could be seen from here',
      ],
    ],
  },
  alert: {
    summary: 'send a test message through the channels of the alerts',
    about:
      'One message, marked as a test, through every channel of the config: everybody, the owners and the escalation. ' +
      'At PagerDuty an incident is opened and resolved.',
    options: {
      config,
      json,
      test: { type: 'boolean', default: false, help: 'send it; without this only this help is shown' },
      owner: { type: 'string', value: 'NAME', help: "only through this owner's channels" },
    },
    examples: [
      ['cert-rotation alert --test', 'does every channel take messages?'],
      ['cert-rotation alert --test --owner shop-team', "only that owner's"],
    ],
    exits: [
      [0, 'every channel took it'],
      [1, 'one did not'],
      [2, 'wrong usage or config, or no channel'],
    ],
  },
  emulator: {
    summary: 'the embedded cloud on its own, on loopback, for any client',
    about: 'Prints one JSON line with its endpoints and ids when it is ready, and runs until Ctrl-C.',
    options: {
      port: { type: 'string', default: '0', value: 'PORT', help: 'of the API; 0 takes a free one' },
      'tls-port': {
        type: 'string',
        default: '0',
        value: 'PORT',
        help: 'of the TLS edge; 0 takes a free one',
      },
      seed: { type: 'string', value: 'FILE', help: 'what is there at the start (JSON)' },
    },
    examples: [
      ['cert-rotation emulator', 'with one APIG gateway'],
      ['cert-rotation emulator --port 18080 --tls-port 18443 --seed seed.json', 'with yours'],
    ],
    exits: [[0, 'stopped by Ctrl-C or SIGTERM'], takenPort],
  },
  invoke: {
    summary: 'hand a saved event to the real handler',
    positionals: 'EVENT.json',
    about:
      'With a context as FunctionGraph gives it; SECURITY_ACCESS_KEY, SECURITY_SECRET_KEY and SECURITY_TOKEN are its agency.',
    options: {
      ...common,
      timeout: { type: 'string', default: '5m', value: 'DURATION', help: 'the time the invocation has' },
      seconds: { type: 'string', value: 'N', help: 'the same in seconds' },
    },
    examples: [
      ['cert-rotation invoke events/obs-put.json', 'an upload'],
      ['cert-rotation invoke events/timer.json --timeout 14m', 'a tick'],
    ],
    exits: [done, failed, wrongUsage, unfinished],
  },
  setup: {
    summary: 'make everything that an account needs, and run doctor inside the function',
    about:
      'Bucket, agency with the least policies for exactly this config, topic, config and functions with triggers and log. ' +
      'Prints what it would change and asks; a second run changes nothing. HW_ACCESS_KEY and HW_SECRET_KEY need ' +
      'policies/installer-*.json. What the config calls ${NAME} goes into the functions, encrypted.',
    options: {
      ...installing,
      schedule: { type: 'string', value: 'RATE', help: 'how often the timer fires (default 30m)' },
      check: {
        type: 'boolean',
        default: false,
        help: 'ask the function for the doctor also where nothing was to do',
      },
    },
    examples: [
      ['cert-rotation setup --env .env', 'shows the plan and asks'],
      ['cert-rotation setup --bucket my-certificates --yes', 'where the config has a folder so far'],
    ],
    exits: [
      [0, 'everything is there, and the function found nothing wrong'],
      [1, 'a step failed, or the function found something: run it again, it goes on'],
      wrongUsage,
    ],
  },
  deploy: {
    summary: 'bring a changed config or a new release to the functions that setup made',
    about: 'Refuses what cannot work before it changes anything.',
    options: {
      ...installing,
      schedule: { type: 'string', value: 'RATE', help: 'how often the timer fires (default 30m)' },
      rollback: {
        type: 'boolean',
        default: false,
        help: 'go back to the version that was in service before; config and secrets stay',
      },
    },
    examples: [
      ['cert-rotation deploy --env .env', 'shows what differs and asks'],
      ['cert-rotation deploy --rollback --yes', 'the code and settings of before'],
    ],
    exits: [[0, 'done, or nothing to do'], [1, 'refused or failed'], wrongUsage],
  },
  remove: {
    summary: 'take away what setup made, and name what stays',
    about:
      'The functions with their triggers; with --all also agency, policies, topic and bucket. Certificates and bindings are ' +
      'never touched: domains serve on what they serve.',
    options: {
      ...installing,
      all: { type: 'boolean', default: false, help: 'everything that setup made' },
      'bucket-name': {
        type: 'string',
        value: 'NAME',
        help: "the bucket's name once more: deletes it although it is not empty",
      },
    },
    examples: [
      ['cert-rotation remove', 'the functions; the rest is listed'],
      ['cert-rotation remove --all --bucket-name my-certificates --yes', 'everything'],
    ],
    exits: [[0, 'done, or nothing was there'], [1, 'a step failed: run it again'], wrongUsage],
  },
  completion: {
    summary: 'shell completion: commands, options, names from the config',
    positionals: 'bash|zsh',
    options: {},
    examples: [
      ['source <(cert-rotation completion bash)', 'in ~/.bashrc'],
      ['source <(cert-rotation completion zsh)', 'in ~/.zshrc'],
    ],
    exits: [[0, 'printed'], wrongUsage],
  },
} as const satisfies Record<string, CommandSpec>

export type CommandName = keyof typeof specs
