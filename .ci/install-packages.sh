#!/usr/bin/env bash
# Installs the distribution's packages that the tests use beside Node: OpenSSL's command, Chromium, the S3 server.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export DEBIAN_FRONTEND=noninteractive
as_root=(env)
[ "$(id -u)" = 0 ] || as_root=(sudo -E)

missing=()
command -v openssl >/dev/null || missing+=(openssl)
command -v chromium >/dev/null || missing+=(chromium)
command -v certutil >/dev/null || missing+=(libnss3-tools)
if [ ${#missing[@]} -gt 0 ]; then
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"
fi
"$here/install-s3.sh"
