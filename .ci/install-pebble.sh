#!/usr/bin/env bash
# Puts Let's Encrypt's ACME test server Pebble (and pebble-challtestsrv) into a folder and prints that folder.
#
#   .ci/install-pebble.sh [FOLDER]        default: node_modules/.cache/pebble
#
# The newest package of Debian unstable is downloaded and unpacked, not installed: renewal information
# (RFC 9773) needs a newer Pebble than bookworm has, and nothing else of unstable may reach this system. That
# is why apt gets package lists, sources and state of its own. Where unstable cannot be reached, the
# distribution's own Pebble is used (no renewal information then). Needs apt and dpkg-deb; root is not needed.
# The packages come from where this machine's own apt sources say (a mirror behind a firewall is the only one that
# can be reached there), or from DEBIAN_MIRROR.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-$here/node_modules/.cache/pebble}
keyring=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}

say() { echo "install-pebble: $*" >&2; }
# Its whole help is read: grep -q would leave at the first match, and who still writes dies of it and counts as broken.
works() { [ -x "$1" ] && [[ $("$1" -h 2>&1) == *-config* ]]; }

if works "$target/usr/bin/pebble"; then
  say "already in $target ($(cat "$target/version" 2>/dev/null || echo 'version unknown'))"
  echo "$target"
  exit 0
fi
for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || { say "$tool is missing: this script needs Debian or a relative of it"; exit 1; }
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{lists/partial,cache/archives/partial,download,sources.list.d}
signed=''
[ -r "$keyring" ] && signed="[signed-by=$keyring]"

# The repositories this machine gets its own release from. apt reads its sources itself, in either form (.list, .sources).
mirrors() {
  if [ -n "${DEBIAN_MIRROR:-}" ]; then
    echo "$DEBIAN_MIRROR"
    return
  fi
  local release
  release=$(. "${OS_RELEASE:-/etc/os-release}" && echo "${VERSION_CODENAME:-}")
  # shellcheck disable=SC2016 # the names are apt's, not the shell's
  apt-get indextargets --no-release-info --format '$(CREATED_BY) $(RELEASE) $(COMPONENT) $(REPO_URI)' |
    awk -v release="$release" '$1 == "Packages" && $2 == release && $3 == "main" && !seen[$4]++ { print $4 }'
}

# Downloads pebble of one suite of a mirror with package lists that belong to this run alone.
download() {
  echo "deb $signed $1 $2 main" >"$scratch/sources.list"
  local options=(
    -o "Dir::Etc::sourcelist=$scratch/sources.list" -o "Dir::Etc::sourceparts=$scratch/sources.list.d"
    -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o 'APT::Default-Release='
    -o 'Acquire::Languages=none' -o 'Acquire::Retries=3' -o 'APT::Sandbox::User='
  )
  apt-get "${options[@]}" -qq update >&2 || return 1
  (cd "$scratch/download" && apt-get "${options[@]}" -qq download pebble >&2) || return 1
}

mapfile -t mirrors < <(mirrors)
if [ ${#mirrors[@]} -eq 0 ]; then
  say "the apt sources of this machine name no repository for its release: set DEBIAN_MIRROR"
  exit 1
fi

for suite in sid trixie bookworm; do
  for mirror in "${mirrors[@]}"; do
    rm -f "$scratch"/download/*.deb
    if ! download "$mirror" "$suite"; then say "no pebble from $suite at $mirror"; continue; fi
    package=$(find "$scratch/download" -name 'pebble_*.deb' | head -n 1)
    [ -n "$package" ] || { say "no pebble in $suite at $mirror"; continue; }
    rm -rf "$scratch/unpacked"
    dpkg-deb -x "$package" "$scratch/unpacked"
    dpkg-deb -f "$package" Version >"$scratch/unpacked/version"
    # A package of a newer suite may need a newer C library than this system has.
    if works "$scratch/unpacked/usr/bin/pebble"; then
      mkdir -p "$(dirname "$target")"
      rm -rf "$target"
      cp -a "$scratch/unpacked" "$target"
      say "pebble $(cat "$target/version") from $suite in $target"
      echo "$target"
      exit 0
    fi
    say "pebble of $suite does not run here"
  done
done
say "no Pebble could be had from ${mirrors[*]}"
exit 1
