import { once } from 'node:events'
import { connect } from 'node:tls'
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import type { ReadyLine } from '../emulator/emulator.ts'

/** Where rotation.yaml and the bundles are. */
export const DEMO_BUCKET = 'certificates'
export const DEMO_HOST = 'api.shop.example'
/** As many as the certificate that is served: a narrower one is refused. */
const BUNDLE_NAMES = [DEMO_HOST, '*.shop.example', 'erp.shop.example']

export function demoClient({ url, seed }: ReadyLine): S3Client {
  const [key] = seed.accessKeys
  return new S3Client({
    endpoint: url,
    region: seed.region,
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    credentials: { accessKeyId: key!.id, secretAccessKey: key!.secret },
  })
}

/** Makes the bucket with the config of the deployed functions: the emulator's addresses, the agency's credentials. */
export async function prepareBucket(client: S3Client, { url, tls, seed }: ReadyLine): Promise<void> {
  const instance = seed.instances.find(({ flavour }) => flavour === 'apig')!
  const config = {
    cloud: {
      region: seed.region,
      projectId: seed.project.id,
      auth: { agency: true },
      endpoints: { iam: url, apig: url, roma: url, scm: url, smn: url },
    },
    store: { bucket: DEMO_BUCKET, region: seed.region, endpoint: url, pathStyle: true },
    certificates: {
      shop: {
        gateways: [
          {
            flavour: 'apig',
            instanceId: instance.id,
            domains: [DEMO_HOST],
            verify: { connect: `${tls.host}:${tls.port}` },
          },
        ],
        push: [{ service: 'ELB', project: seed.region }],
      },
    },
  }
  await client.send(new CreateBucketCommand({ Bucket: DEMO_BUCKET }))
  await put(client, 'config/rotation.yaml', JSON.stringify(config))
}

/** A new certificate of the emulator's CA, put into incoming/ as certbot would leave it. Returns its serial number. */
export async function uploadBundle(client: S3Client, { url }: ReadyLine): Promise<string> {
  const response = await fetch(`${url}/__emulator/issue`, {
    method: 'POST',
    body: JSON.stringify({ names: BUNDLE_NAMES }),
  })
  const { fullchainPem, privateKeyPem, fingerprint } = (await response.json()) as Record<string, string>
  await put(client, 'incoming/shop/fullchain.pem', fullchainPem!)
  await put(client, 'incoming/shop/privkey.pem', privateKeyPem!)
  return fingerprint!
}

async function put(client: S3Client, Key: string, Body: string): Promise<void> {
  await client.send(new PutObjectCommand({ Bucket: DEMO_BUCKET, Key, Body }))
}

/** SHA-256 fingerprint that the TLS edge shows, as lower-case hexadecimal digits. */
export async function servedFingerprint({ tls }: ReadyLine, host = DEMO_HOST): Promise<string> {
  const socket = connect({ ...tls, servername: host, rejectUnauthorized: false })
  try {
    await once(socket, 'secureConnect')
    return socket.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase()
  } finally {
    socket.destroy()
  }
}
