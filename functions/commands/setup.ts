import { applyAll, partiesOf, planSetup } from '../../deploy/setup.ts'
import { checkInFunction } from './installed.ts'
import { agreed, printPlan, say, withInstallation } from './installing.ts'
import { readArguments } from './usage.ts'

/** `cert-rotation setup`: everything that an account needs, from nothing to functions that have looked around. */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('setup', args)
  return withInstallation(values, async (installation, session) => {
    const { service, parts, byHand } = await planSetup(installation, session, partiesOf(session, say))
    if (parts.length === 0) {
      say(`Nothing to do: the account has everything that ${values.config} needs.`)
      return values.check ? checkInFunction(service, session) : 0
    }
    printPlan(parts)
    if (!(await agreed('setup', 'Make these changes?', values.yes))) return 0
    await applyAll(parts)
    const status = await checkInFunction(service, session)
    for (const one of byHand) say(one)
    const [name = 'NAME'] = Object.keys(installation.config.certificates)
    say(
      `Drop a bundle into incoming/${name}/ of the bucket ${installation.place.bucket}: it goes into service.`,
    )
    return status
  })
}
