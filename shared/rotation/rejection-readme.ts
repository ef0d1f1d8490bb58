import type { Outcome } from './state.ts'

/** `README.txt` beside a rejected bundle: what is wrong and what to do, for whoever opens the folder next. */
export function rejectionReadme(name: string, outcome: Outcome): string {
  const refused = outcome.checks.filter((check) => check.result === 'refused')
  const lines = [
    `This bundle for "${name}" was not put into service.`,
    '',
    `When: ${outcome.at}`,
    `Why:  ${outcome.sentence}`,
    '',
    ...refused.map((check) => `- ${check.message}  [${check.code}]`),
    ...outcome.failures.map((failure) => `- ${failure.message}  [${failure.code}]\n  ${failure.next}`),
    ...(refused.length + outcome.failures.length > 0 ? [''] : []),
    `What to do: put a corrected bundle into incoming/${name}/; it is tried as soon as it arrives.`,
    `To try exactly these files once more: copy them back to incoming/${name}/ and run`,
    `    cert-rotation rotate ${name}`,
    '',
    'Details are in result.json beside this file. A private key in this folder is as secret as it was before.',
  ]
  return `${lines.join('\n')}\n`
}
