import { deliveryDigest } from '../../base/names.ts'
import type { Job } from '../parties.ts'
import type { Upload } from './incoming.ts'

/** The names under which a renewal drops its pair. */
const KEY = 'privkey.pem'
const CHAIN = 'fullchain.pem'
/** Always the CA for client certificates, whatever stands in it; whether it is used, the config says. */
export const CLIENT_CA = 'trusted-root-ca.pem'

/**
 * A pair that a renewal has dropped is a bundle by itself, exactly as it was delivered: what others have put beside it
 * (an intermediate, half of something) changes nothing about it. It stays where it is, for its own turn.
 */
export async function asDelivered(job: Pick<Job, 'delivered'>, upload: Upload): Promise<Upload> {
  const at = (name: string) => upload.objects.find((object) => object.name === name)
  const [key, chain] = [at(KEY), at(CHAIN)]
  if (!key || !chain || upload.objects.length === 2) return upload
  const noted = await job.delivered?.()
  if (noted === undefined || deliveryDigest(key.bytes, chain.bytes) !== noted) return upload
  const own = (name: string) => [KEY, CHAIN, CLIENT_CA].includes(name)
  return {
    ...upload,
    objects: upload.objects.filter(({ name }) => own(name)),
    unfinished: [],
    sources: upload.sources.filter((source) => own(source.key.split('/').slice(2).join('/'))),
  }
}
