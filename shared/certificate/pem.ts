/** One block between `-----BEGIN …-----` and `-----END …-----` (RFC 7468; RFC 1421 headers for old encrypted keys). */
export interface PemBlock {
  label: string
  /** `Proc-Type`, `DEK-Info`: present on old OpenSSL encrypted keys. */
  headers: Record<string, string>
  der: Uint8Array
  /** Why the block cannot be read; `der` is empty then. Safe to print. */
  problem: string | undefined
}

export function pemBlock(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** Text of an object, whatever its byte order mark says; undefined if it is not text. */
export function textOf(bytes: Uint8Array): string | undefined {
  // PowerShell's `>` writes UTF-16 with a mark.
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le').decode(bytes)
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder('utf-16be').decode(bytes)
  if (bytes.includes(0)) return undefined
  return new TextDecoder('utf-8').decode(bytes)
}

const BEGIN = '-----BEGIN '
const DASHES = '-----'
const MOST_BLOCKS = 256
const EMPTY: PemBlock = { label: '', headers: {}, der: new Uint8Array(), problem: undefined }

/**
 * Every block of a text, in order, with whatever stands around them (the output of `openssl x509 -text`, bag
 * attributes, mail) left out. Tolerates CRLF, indented lines, blank lines and a missing final newline.
 * Linear in the length of the text.
 */
export function readPemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = []
  for (let at = text.indexOf(BEGIN); at >= 0; ) {
    const labelStart = at + BEGIN.length
    const labelEnd = text.indexOf(DASHES, labelStart)
    const label = labelEnd < 0 ? '' : text.slice(labelStart, labelEnd)
    if (label.length > 64 || !/^[A-Z0-9 #]+$/.test(label)) {
      at = text.indexOf(BEGIN, labelStart)
      continue
    }
    const bodyStart = labelEnd + DASHES.length
    const next = text.indexOf(BEGIN, bodyStart)
    // Only as far as the next block, so that a text full of beginnings is still read in one go.
    const rest = text.slice(bodyStart, next < 0 ? text.length : next)
    const end = rest.indexOf(`-----END ${label}-----`)
    if (blocks.length === MOST_BLOCKS) {
      blocks.push({ ...EMPTY, label, problem: `is one of more than ${MOST_BLOCKS} blocks` })
      break
    }
    blocks.push(
      end < 0
        ? { ...EMPTY, label, problem: 'has no end line: it is cut short' }
        : readBody(label, rest.slice(0, end)),
    )
    at = next
  }
  return blocks
}

function readBody(label: string, body: string): PemBlock {
  const headers: Record<string, string> = {}
  const base64: string[] = []
  for (const line of body.split(/\r\n|\r|\n/)) {
    const header = /^([A-Za-z0-9-]{1,40}):\s*(.{0,200})$/.exec(line)
    if (header !== null) headers[header[1]!] = header[2]!.trim()
    // Spaces, and line breaks as two characters each: what is left of a PEM that went through one line of something.
    else base64.push(line.replace(/\\[nr]|\s/g, ''))
  }
  const joined = base64.join('')
  if (joined === '') return { label, headers, der: new Uint8Array(), problem: 'is empty' }
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(joined) || joined.length % 4 !== 0)
    return {
      label,
      headers,
      der: new Uint8Array(),
      problem: 'holds characters that are not Base64, or too few',
    }
  return { label, headers, der: new Uint8Array(Buffer.from(joined, 'base64')), problem: undefined }
}
