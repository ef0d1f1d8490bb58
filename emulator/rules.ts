import { z } from 'zod'
import { hour, minute } from '../shared/base/clock.ts'

const milliseconds = z.number().int().min(0)

/**
 * What the documents leave open (reference, section 9) and what tests want to choose. The defaults are the harsher
 * of the possible worlds; emulator/README.md has the table with what is documented and what is invented.
 */
export const rulesSchema = z.strictObject({
  /**
   * Attach where another certificate of the same algorithm is bound: 400 `APIG.2051`, or it takes the place, or both
   * stand side by side and the older is served.
   */
  attachOverOther: z.enum(['refuse', 'replace', 'keep-both']).default('refuse'),
  /** Attach of a certificate that has expired, bound already or not: 400 `APIG.2102`, or it comes on. */
  attachExpired: z.enum(['refuse', 'accept']).default('refuse'),
  /** Attach of what is bound already: 204 (seen on APIG), or 400 `APIG.3309` on ROMA or everywhere. */
  attachAgain: z.enum(['accept', 'roma-refuses', 'refuse']).default('accept'),
  /** Detach of a pair that is not bound: 404 `APIG.3097` or 400 `APIG.2000`. */
  detachUnbound: z.enum(['not-found', 'bad-request']).default('not-found'),
  /** Answer to deleting a bound certificate. */
  deleteBound: z
    .strictObject({
      status: z.union([z.literal(400), z.literal(403), z.literal(409)]),
      errorCode: z.string(),
    })
    .default({ status: 400, errorCode: 'APIG.2000' }),
  /** Code of the 404 for a certificate that is not there. */
  missingCertificate: z.enum(['APIG.3021', 'APIG.3025', 'APIG.3093']).default('APIG.3021'),
  /** Second certificate of the same name: accepted, or 400 `APIG.3325`. */
  duplicateName: z.enum(['accept', 'refuse']).default('accept'),
  /** PUT without `trusted_root_ca` on a certificate that has one. */
  updateWithoutCa: z.enum(['drop', 'keep']).default('drop'),
  /** Client verification of bound domains after a PUT that adds a CA. Documented: off. */
  updateAddingCa: z.enum(['off', 'on']).default('off'),
  /** PUT with a certificate that does not cover a bound domain: 400 `APIG.2103`, or accepted. */
  updateNotCovering: z.enum(['refuse', 'accept']).default('refuse'),
  /** How long the TLS edge keeps showing the old state. Documented: 5 to 10 seconds. */
  visibilityDelayMs: milliseconds.default(5_000),
  /** Whether a detach is delayed at the edge like everything else, or felt at once. */
  detachVisibility: z.enum(['delayed', 'immediate']).default('delayed'),
  /** Certificates per product and project before 403 `APIG.3100`; null for no limit. */
  certificateQuota: z.number().int().min(0).nullable().default(null),
  /** Custom domains per API group before 403 `APIG.3108`. Documented: 5. */
  domainsPerGroup: z.number().int().min(1).default(5),
  /** The last five fields of an attached domain: documented as filled, seen empty. */
  attachedDomainsOptionalFields: z.enum(['empty', 'filled']).default('empty'),
  /** `ssl_id` of a group's domain: on APIG for RSA only and on ROMA always, or one of the two everywhere. */
  sslIdInGroups: z.enum(['by-product', 'rsa-only', 'always']).default('by-product'),
  /** ROMA's public sites flag `ssl_infos` as unsupported. */
  sslInfosInRoma: z.enum(['omitted', 'filled']).default('omitted'),
  /** Whether the `name` and `common_name` filters of the certificate list match a part or the whole. */
  nameFilter: z.enum(['substring', 'exact']).default('substring'),
  /** Whether the certificate list insists on `instance_id`. */
  listRequiresInstance: z.boolean().default(true),
  /** Whether the certificate list of an instance shows global certificates too. */
  listIncludesGlobal: z.boolean().default(true),
  /** Body fields that no page names: 400 `APIG.2012`, or ignored. */
  unknownFields: z.enum(['refuse', 'ignore']).default('refuse'),
  /** Asking for client verification with a certificate that has no CA. */
  verificationWithoutCa: z.enum(['refuse', 'ignore']).default('refuse'),
  /** `DELETE …/certificate/{id}` of a certificate that other domains use too. */
  sharedRemoval: z.enum(['delete-everywhere', 'refuse']).default('delete-everywhere'),
  /** Whether the dependencies of an IAM action must be granted too. */
  actionDependencies: z.enum(['enforce', 'ignore']).default('enforce'),
  /** What SCM's `duplicate_check: true` means: the two documents contradict each other. */
  scmDuplicateCheck: z.enum(['refuse', 'allow']).default('refuse'),
  /** Status of SCM's answer for an unknown certificate. */
  scmMissing: z.union([z.literal(404), z.literal(400)]).default(404),
  /** Whether the list of deployed resources shows the copies that a push made. */
  scmDeployedShowsPushed: z.boolean().default(true),
  /** SCM's documented maximum lengths of certificate, chain and key. */
  scmMaxLengths: z.enum(['enforce', 'ignore']).default('enforce'),
  /** SCM writes local time without a zone: minutes east of UTC. */
  scmUtcOffsetMinutes: z.number().int().default(480),
  /** Project names a push may name; null accepts everything that looks like a region or `<region>_<project>`. */
  pushProjects: z.array(z.string()).nullable().default(null),
  /** Life of a token. Documented: 24 hours. */
  tokenLifetimeMs: milliseconds.default(24 * hour),
  /** Tolerated difference of `X-Sdk-Date`. Documented: 15 minutes. */
  signatureToleranceMs: milliseconds.default(15 * minute),
  /** Added to every call of a service, so that concurrency can be measured. */
  latencyMs: milliseconds.default(0),
})

export type Rules = z.output<typeof rulesSchema>

/**
 * A schema in which a field that is left out stays out: a patch must not put the other rules back to their
 * defaults.
 */
export const rulesPatchSchema = z.strictObject(
  Object.fromEntries(
    Object.entries(rulesSchema.shape).map(([name, field]) => [name, field.unwrap().optional()]),
  ),
)
