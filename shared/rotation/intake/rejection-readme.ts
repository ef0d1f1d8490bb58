import type { Outcome } from '../record/state.ts'

const FIRST_LINE = 'This bundle was not put into service: '

/** What to do about a reason (a check's `reason`, else its code); most messages say it themselves. */
const REMEDIES: Record<string, string> = {
  'password-missing':
    'Set `password` of this certificate in rotation.yaml, or upload the private key without encryption.',
  'password-wrong':
    'Correct `password` of this certificate in rotation.yaml, or export the bundle again with the configured one.',
  'key-unreadable': 'Export the private key again, as PEM (PKCS#8, PKCS#1 or SEC1) or in a PKCS#12 file.',
  'empty-object': 'Upload the file again: it arrived without content.',
  unreadable: 'Upload the file again: it is damaged or cut short.',
  'not-recognised': 'Upload certificate, chain and private key as PEM, DER, PKCS#7 or PKCS#12.',
  'several-leafs':
    'Upload one server certificate with its chain and key; give others a certificate of their own in rotation.yaml.',
  'several-keys': 'Upload the one private key that the certificate was ordered with.',
  'issuer-missing': 'Upload the full chain (often called fullchain or CA bundle) together with leaf and key.',
  'root-differs': 'Upload the chain of the CA that issued this certificate.',
  'another-certificate': 'Upload certificate and private key that were issued together.',
  'name-not-covered':
    'Order the certificate with all domains in it, or correct the domains in rotation.yaml.',
  'no-names': 'Order the certificate again with its domains as subject alternative names.',
  'weak-signature': 'Have it issued again with SHA-256 or better.',
  'key-too-short': 'Order it again with an RSA key of 2048 bits or an ECDSA key on P-256.',
  'not-for-servers': 'Order a server certificate (extended key usage serverAuth).',
  'refused-before': 'Change the bundle or the config; or run the command below to try the same files again.',
}

/** `README.txt` beside a rejected bundle: what is wrong and what to do, for whoever opens the folder next. */
export function rejectionReadme(name: string, outcome: Outcome): string {
  const refused = outcome.checks.filter((check) => check.result === 'refused')
  const lines = [
    `${FIRST_LINE}${name}`,
    '',
    `When: ${outcome.at}`,
    '',
    'What is wrong',
    ...refused.map((check) =>
      [`- ${check.message}  [${check.code}]`, remedyFor(check) ?? []].flat().join('\n  '),
    ),
    ...outcome.failures.map((failure) => `- ${failure.message}  [${failure.code}]\n  ${failure.next}`),
    ...(refused.length + outcome.failures.length > 0 ? [] : [`- ${outcome.sentence}`]),
    '',
    'What to do',
    `Put the corrected bundle into incoming/${name}/, all of it: certificate, chain and private key.`,
    'It is tried as soon as it is complete.',
    `To try exactly these files once more, copy them back to incoming/${name}/ and run`,
    `    cert-rotation rotate ${name}`,
    '',
    'Every check is in result.json beside this file. A private key in this folder is as it was uploaded, and as',
    'secret as it was before: delete the folder when it is of no more use.',
  ]
  return `${lines.join('\n')}\n`
}

/** Whether a file is one of these, whoever it came back with. */
export function isRejectionReadme(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(0, FIRST_LINE.length)) === FIRST_LINE
}

/** What to do about a check that refuses; undefined where its message says it. */
export function remedyFor({ code, reason }: Outcome['checks'][number]): string | undefined {
  return REMEDIES[reason ?? code] ?? REMEDIES[code]
}
