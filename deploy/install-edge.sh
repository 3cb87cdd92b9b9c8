#!/usr/bin/env bash
# Installs the edge service on a bare Debian or Ubuntu box, from a checkout. Run it as root; run it again to update.
#
#   sudo deploy/install-edge.sh --camera gate=rtsp://viewer@10.0.0.5/stream1 --cloud https://cloud.example:5001
#
# --prefix DIR   programs (/opt/emberlink)        --etc DIR      settings (/etc/emberlink)
# --state DIR    what survives (/var/lib/emberlink)
# --no-system    no packages, no user, no systemd: for a trial in folders of your own
# Everything else goes to `emberlink-edge init`, which writes the first edge.toml and never touches one that is there.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=/opt/emberlink etc=/etc/emberlink state=/var/lib/emberlink with_system=yes
init=()
while (($#)); do
    case $1 in
        --prefix) prefix=$2; shift 2 ;;
        --etc) etc=$2; shift 2 ;;
        --state) state=$2; shift 2 ;;
        --no-system) with_system=no; shift ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        --camera | --cloud | --edge-id | --daily-limit | --timezone) init+=("$1" "$2"); shift 2 ;;
        *) echo "unknown: $1 (see --help)" >&2; exit 2 ;;
    esac
done

say() { printf '\n== %s\n' "$*"; }
if [[ $with_system == yes ]]; then
    ((EUID == 0)) || { echo "Run it as root, or with --no-system for a trial." >&2; exit 2; }
    say "Packages: Python, and the libraries that OpenCV needs"
    apt-get update -qq
    glib=libglib2.0-0
    apt-cache show libglib2.0-0t64 >/dev/null 2>&1 && glib=libglib2.0-0t64
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv libgl1 "$glib"
    getent passwd emberlink >/dev/null ||
        useradd --system --home-dir "$state" --shell /usr/sbin/nologin --groups video emberlink
fi

say "Programs in $prefix, every package checked against its hash"
[[ -x $prefix/bin/python ]] || python3 -m venv "$prefix"
"$prefix/bin/pip" install --disable-pip-version-check --quiet --require-hashes -r deploy/locks/edge.txt
"$prefix/bin/pip" install --disable-pip-version-check --quiet --no-deps --no-build-isolation --force-reinstall .
install -d "$prefix/share"
install -m 644 README.md docs/*.md "$prefix/share/"

say "Settings in $etc, state in $state"
install -d -m 750 "$etc"
install -d -m 700 "$state"
if [[ -e $etc/edge.toml ]]; then
    echo "$etc/edge.toml is there and stays as it is"
else
    "$prefix/bin/emberlink-edge" init "$etc/edge.toml" --state "$state" "${init[@]}"
fi

if [[ $with_system == yes ]]; then
    chown -R root:emberlink "$etc"
    chmod 640 "$etc"/edge.toml
    chown -R emberlink:emberlink "$state"
    if [[ -d /run/systemd/system ]]; then
        say "Service emberlink-edge"
        install -m 644 deploy/systemd/emberlink-edge.service /etc/systemd/system/
        systemctl daemon-reload
        systemctl enable emberlink-edge
        systemctl restart emberlink-edge
    else
        echo "systemd does not run here; start it with: $prefix/bin/emberlink-edge run --config $etc/edge.toml"
    fi
fi

say "What the doctor says"
"$prefix/bin/emberlink-edge" doctor --config "$etc/edge.toml" || echo "Fix what FAILs above; then run the doctor again."
