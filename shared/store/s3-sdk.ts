// What of the SDK is used, in a file of its own: imported late, and a bundler leaves the hundred other commands out.
export {
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  ListObjectsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
