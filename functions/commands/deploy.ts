import { planRollback } from '../../deploy/deployment.ts'
import { serviceOf, topicOf } from '../../deploy/installation.ts'
import { preflight } from '../../deploy/preflight.ts'
import { applyAll, partiesOf, planUpdate } from '../../deploy/setup.ts'
import { agreed, printPlan, say, withInstallation } from './installing.ts'
import { readArguments } from './usage.ts'

/** `cert-rotation deploy`: config and functions of an account that `setup` has made ready; or the version before. */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('deploy', args)
  return withInstallation(values, async (installation, session) => {
    const parties = partiesOf(session, say)
    const service = serviceOf(installation, topicOf(installation, session).urn, session.projectId)
    if (!values.rollback) await preflight(service, session, say, { configInPlace: false })
    const parts = values.rollback
      ? await planRollback(service, parties)
      : (await planUpdate(installation, session, parties)).parts
    if (parts.length === 0) {
      say('Nothing to do: config and functions are as they should be.')
      return 0
    }
    printPlan(parts)
    if (!(await agreed('deploy', 'Make these changes?', values.yes))) return 0
    await applyAll(parts)
    return 0
  })
}
