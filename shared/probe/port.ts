/** Who to shake hands with: SNI and where to connect, which differ when the gateway is not (yet) in DNS. */
export interface ProbeTarget {
  /** Server name to send. For a wildcard domain the caller chooses a name below it. */
  serverName: string
  host: string
  port: number
}

/** What a server showed in one TLS handshake, whether or not anybody should trust it. */
export interface ServedCertificate {
  /** SHA-256 of the leaf's DER, lower-case hex. */
  fingerprint: string
  /** SHA-256 of each certificate as sent, leaf first. */
  chain: string[]
  /** DER of each certificate as sent, leaf first. */
  der?: Uint8Array[]
  notBefore: Date
  notAfter: Date
  commonName: string
  issuer: string
  names: string[]
}

export type ProbeResult =
  | { reached: true; served: ServedCertificate }
  /** The server was reached and refused the handshake (no certificate for this name, alert): nobody is served. */
  | { reached: true; served: undefined; reason: string }
  /** No TCP connection from here (DNS, refused, time-out), or no proof of what was shown: says nothing about what others are served. */
  | { reached: false; reason: string }

/** Never throws for what the network does: every way it can go is a result. */
export interface Probe {
  handshake(target: ProbeTarget, signal?: AbortSignal): Promise<ProbeResult>
}
