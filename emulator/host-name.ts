import { domainToASCII } from 'node:url'

/** How a name is looked up and compared with a certificate's: A-labels, lower case, without the final dot. It is kept as it was given. */
export function looked(host: string): string {
  const [, wildcard = '', rest = ''] = /^(\*\.)?(.*?)\.?$/.exec(host)!
  return `${wildcard}${domainToASCII(rest) || rest.toLowerCase()}`
}
