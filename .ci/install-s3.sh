#!/bin/bash
# Installs the S3 server of the tests (Ceph's RADOS Gateway) from the distribution, unless it is there already.
set -euo pipefail
command -v radosgw ceph-mon ceph-osd ceph >/dev/null && exit 0
export DEBIAN_FRONTEND=noninteractive
as_root=(env)
[ "$(id -u)" = 0 ] || as_root=(sudo -E)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends radosgw ceph-mon ceph-osd
