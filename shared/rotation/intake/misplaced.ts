import { asFailure, Failure } from '../../base/failure.ts'
import { isCertificateName, keys } from '../../base/names.ts'
import { printable } from '../../base/printable.ts'
import type { UploadedObject } from '../../certificate/bundle.ts'
import { hostMatches } from '../../certificate/host-name.ts'
import type { CertificateConfig } from '../../config/schema.ts'
import { getListed } from '../../store/certain.ts'
import { configuredHosts, type Parties } from '../parties.ts'
import { MAX_OBJECT_BYTES, MAX_OBJECTS } from './incoming.ts'
import type { Strangers, Uploads } from './uploads.ts'

/** Something in `incoming/` that no certificate's rotation looks at, and where it belongs. */
export interface Misplaced {
  /** The folder's name; undefined for what lies in no folder, and for folders that are only counted. */
  certificate?: string
  failure: Failure
}

/** More names than anybody reads. */
const MOST_SHOWN = 8
const UNKNOWN_CERTIFICATE = 'config.unknown-certificate'

/** Objects in no folder, and folders of no certificate. What stands in the way of reading them is not their matter. */
export async function misplacedIn(
  { strangers, outside }: Pick<Uploads, 'strangers' | 'outside'>,
  certificates: Readonly<Record<string, CertificateConfig>>,
  parties: Pick<Parties, 'store' | 'clock' | 'reader' | 'log'>,
): Promise<Misplaced[]> {
  const known = Object.keys(certificates).sort()
  const found: Misplaced[] = strangers.names.map((name) => ({
    certificate: name,
    failure: unknownName(name, known),
  }))
  if (strangers.more > 0 || strangers.uncounted) found.push({ failure: moreUnknown(strangers, known) })
  if (outside.length === 0) return found
  const folder = keys.incoming()
  const shown = outside.slice(0, MOST_SHOWN).map(({ key }) => printable(key.slice(folder.length)))
  const more = outside.length > shown.length ? ` and ${outside.length - shown.length} more` : ''
  const [it, lies] = outside.length === 1 ? ['it', 'lies'] : ['them', 'lie']
  const home = await homeOf(outside, certificates, parties)
  const next = home
    ? `Move ${it} to ${keys.incoming(home)}, which the certificate's names fit.`
    : `Move ${it} to incoming/<name>/, where <name> is one of: ${known.join(', ') || '(there are none)'}.`
  const failure = new Failure({
    code: 'incoming.no-folder',
    kind: 'never',
    message: `${shown.join(', ')}${more} ${lies} in incoming/ itself, where no certificate looks`,
    next,
    facts: { objects: outside.length },
  })
  return [...found, { failure }]
}

/** The one certificate whose domains all server certificates among these objects cover. */
async function homeOf(
  outside: Uploads['outside'],
  certificates: Readonly<Record<string, CertificateConfig>>,
  { store, clock, reader, log }: Pick<Parties, 'store' | 'clock' | 'reader' | 'log'>,
): Promise<string | undefined> {
  const objects: UploadedObject[] = []
  try {
    for (const listed of outside.filter(({ size }) => size <= MAX_OBJECT_BYTES).slice(0, MAX_OBJECTS)) {
      const found = await getListed(store, listed, { maxBytes: MAX_OBJECT_BYTES }).catch(() => undefined)
      if (found) objects.push({ name: listed.key, bytes: found.bytes })
    }
    const report = await reader.inspect(objects, { at: clock.now(), trust: { kind: 'any' }, domains: [] })
    const leafs = report.files.flatMap((one) => one.certificates).filter(({ names }) => names.length > 0)
    const fitting = Object.entries(certificates).filter(([, config]) => {
      const hosts = configuredHosts(config)
      const covers = (names: string[]) => hosts.every((host) => names.some((name) => hostMatches(host, name)))
      return hosts.length > 0 && leafs.length > 0 && leafs.every(({ names }) => covers(names))
    })
    return fitting.length === 1 ? fitting[0]![0] : undefined
  } catch (thrown) {
    log.warn('what lies in incoming/ itself could not be read', { failure: asFailure(thrown) })
    return undefined
  }
}

/** Whether a failure is one of these: advice about what somebody has put there, and no failure of whoever looked. */
export function isMisplaced({ code }: Failure): boolean {
  return code === 'incoming.no-folder' || code === UNKNOWN_CERTIFICATE
}

function moreUnknown({ names, more, uncounted }: Strangers, known: string[]): Failure {
  const count = `${uncounted ? 'at least ' : ''}${more.toLocaleString('en-GB')}`
  return new Failure({
    code: UNKNOWN_CERTIFICATE,
    kind: 'never',
    message: `incoming/ has ${count}${names.length > 0 ? ' more' : ''} folders that are no certificate's in rotation.yaml`,
    next: `Delete what is not needed there; only these are looked at: ${known.join(', ') || '(there are none)'}.`,
    facts: { folders: more },
  })
}

function unknownName(name: string, known: string[]): Failure {
  const shown = isCertificateName(name) ? name : `"${printable(name)}"`
  return new Failure({
    code: UNKNOWN_CERTIFICATE,
    kind: 'never',
    message: `incoming/ has a folder ${shown}, but rotation.yaml has no certificate of that name`,
    next: `Add it under certificates:, or move the bundle to one of: ${known.join(', ') || '(there are none)'}.`,
    facts: { certificate: shown },
  })
}
