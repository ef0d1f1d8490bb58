import { planRemoval } from '../../deploy/removal.ts'
import { applyAll, partiesOf } from '../../deploy/setup.ts'
import { agreed, printPlan, say, withInstallation } from './installing.ts'
import { readArguments } from './usage.ts'

/** `cert-rotation remove`: takes away what `setup` made, and names what stays. */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('remove', args)
  return withInstallation(values, async (installation, session) => {
    const parties = partiesOf(session, () => {})
    const plan = (bucketName: string | undefined) =>
      planRemoval(installation, session, parties, { all: values.all, bucketName })
    let planned = await plan(values['bucket-name'])
    if (planned.bucketToName && process.stdin.isTTY && process.stdout.isTTY)
      planned = await plan(await typedName(planned.bucketToName))
    const { parts, stays } = planned
    printPlan(parts)
    say('What stays:')
    for (const line of stays) say(`  ${line}`)
    if (parts.length === 0) {
      say('Nothing to do: nothing of it is there.')
      return 0
    }
    if (!(await agreed('remove', 'Take away what is marked with -?', values.yes))) return 0
    await applyAll(parts)
    say('Done.')
    return 0
  })
}

/** Nobody empties a bucket of keys by a slip of the finger. */
async function typedName({ name, objects }: { name: string; objects: number }): Promise<string | undefined> {
  const { isCancel, text } = await import('@clack/prompts')
  const answer = await text({
    message: `${name} holds ${objects} objects, private keys among them. Type its name to delete it too, or nothing:`,
  })
  return isCancel(answer) ? undefined : answer
}
