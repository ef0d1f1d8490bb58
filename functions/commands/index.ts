import type { CommandName } from './specs.ts'

export interface Command {
  /** Returns the exit status. */
  run(args: string[]): Promise<number>
}

/** Each command is loaded when it is asked for: `inspect` has no use for a cloud client. */
export const commands: Record<CommandName, () => Promise<Command>> = {
  demo: () => import('./demo.ts'),
  init: () => import('./init.ts'),
  doctor: () => import('./doctor.ts'),
  rotate: () => import('./rotate.ts'),
  tick: () => import('./tick.ts'),
  watch: () => import('./watch.ts'),
  plan: () => import('./plan.ts'),
  inspect: () => import('./inspect.ts'),
  status: () => import('./status.ts'),
  alert: () => import('./alert.ts'),
  emulator: () => import('./emulator.ts'),
  invoke: () => import('./invoke.ts'),
  setup: () => import('./setup.ts'),
  deploy: () => import('./deploy.ts'),
  remove: () => import('./remove.ts'),
  completion: () => import('./completion.ts'),
}
