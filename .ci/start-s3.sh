#!/bin/bash
# Starts a real S3 server for the tests: a one-node Ceph in memory (monitor, one OSD, RADOS Gateway), on loopback
# only, without systemd. Prints one JSON line when it answers: endpoint and keys.
#
#   .ci/start-s3.sh start DIR [PORT]    .ci/start-s3.sh stop DIR
#
# The monitor's ports are fixed, so there is one cluster per machine (or network namespace). They lie below those that Linux
# gives to outgoing connections (32768 and up): one of these had taken 33300 between the look and the start.
set -euo pipefail
action=${1:?start or stop}
dir=${2:?folder for the cluster data}
port=${3:-7480}
mon_v2=23300 mon_v1=23789
access_key=TESTACCESSKEY secret_key=TESTSECRETKEY

stop() {
  # Killed, not asked: with the cluster going away, gateway and OSD wait for it for minutes.
  for file in "$dir"/run/*.started; do
    [ -e "$file" ] || continue
    kill -9 "$(cat "$file")" 2>/dev/null || true
  done
  rm -rf "$dir"
}

run() { # NAME COMMAND...: in the background, detached from our terminal and pipes
  local name=$1
  shift
  setsid "$@" </dev/null >"$dir/log/$name.out" 2>&1 &
  echo $! >"$dir/run/$name.started"
}

wait_until() { # SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      echo "still failing: $*" >&2
      tail -n 5 "$dir"/log/*.out >&2
      stop
      exit 1
    fi
    sleep 0.1
  done
}

if [ "$action" = stop ]; then
  stop
  exit 0
fi
[ "$action" = start ] || { echo "usage: $0 start|stop DIR [PORT]" >&2; exit 2; }
for program in ceph ceph-mon ceph-osd radosgw; do
  command -v $program >/dev/null || { echo "$program is not installed: run .ci/install-s3.sh" >&2; exit 3; }
done

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for taken in $mon_v2 $mon_v1 "$port"; do
  if listens "$taken"; then
    echo "port $taken is in use: another cluster is running; stop it, or name its gateway in S3_TEST_ENDPOINT" >&2
    exit 4
  fi
done

[ -d "$dir" ] && stop
mkdir -p "$dir"/{mon,osd,run,log}
dir=$(cd "$dir" && pwd)
fsid=$(cat /proc/sys/kernel/random/uuid)
conf="$dir/ceph.conf"
cat >"$conf" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$mon_v2/0,v1:127.0.0.1:$mon_v1/0]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = $dir/keyring
run dir = $dir/run
log file = $dir/log/\$name.log
pid file = $dir/run/\$name.pid
admin socket = $dir/run/\$name.asok
mon data = $dir/mon
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = 1073741824
# One copy in one place is all that a test needs.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon osd min up ratio = 0
# Every map change waits for these; the defaults make the start five times longer.
paxos propose interval = 0.02
paxos min wait = 0.01
mon tick interval = 1
osd heartbeat interval = 3
mon data avail warn = 2
mon data avail crit = 1
setuser match path =
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw dns name = localhost
rgw enable apis = s3, notifications
rgw run sync thread = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw override bucket index max shards = 1
# SSE-KMS without a key server and without TLS.
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = testkey=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=
CONF
ceph=(ceph -c "$conf" --connect-timeout 30)

ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
for name in client.admin client.rgw.a osd.0; do
  ceph-authtool "$dir/keyring" --gen-key -n $name --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
done
monmaptool --create --clobber --fsid "$fsid" \
  --addv a "[v2:127.0.0.1:$mon_v2,v1:127.0.0.1:$mon_v1]" "$dir/monmap" >/dev/null
ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
run mon ceph-mon -c "$conf" -i a -f
wait_until 60 "${ceph[@]}" -s

osd_uuid=$(cat /proc/sys/kernel/random/uuid)
osd=$("${ceph[@]}" osd new "$osd_uuid")
ceph-osd -c "$conf" -i "$osd" --mkfs --osd-uuid "$osd_uuid" 2>"$dir/log/osd-mkfs.out"
"${ceph[@]}" osd crush add "osd.$osd" 1.0 root=default host=localhost >/dev/null 2>&1
run osd ceph-osd -c "$conf" -i "$osd" -f
osd_is_up() { [[ $("${ceph[@]}" osd stat) == *'1 up'* ]]; }
wait_until 60 osd_is_up

run rgw radosgw -c "$conf" -n client.rgw.a -f
wait_until 90 listens "$port"
radosgw-admin -c "$conf" -n client.rgw.a user create --uid=test --display-name=test \
  --access-key=$access_key --secret-key=$secret_key >/dev/null 2>"$dir/log/user.out"
printf '{"endpoint":"http://127.0.0.1:%s","accessKeyId":"%s","secretAccessKey":"%s"}\n' "$port" $access_key $secret_key
