/** What a person watching a terminal is told while a rotation runs. The log has the same facts, flat. */
export type ProgressEvent =
  | { kind: 'bundle'; certificate: string; sentence: string }
  | { kind: 'step'; certificate: string; step: string; target: string; sentence: string; durationMs?: number }
  | { kind: 'trouble'; certificate: string; target: string; sentence: string }
