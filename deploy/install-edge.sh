#!/usr/bin/env bash
# Installs the edge service on a bare Debian or Ubuntu box, from a checkout. Run it as root; run it again to update.
#
#   sudo deploy/install-edge.sh --camera gate=rtsp://viewer@10.0.0.5/stream1 --cloud https://cloud.example:5001
#
# --prefix DIR   programs (/opt/emberlink)        --etc DIR      settings (/etc/emberlink)
# --state DIR    what survives (/var/lib/emberlink)
# --no-system    no packages, no user, no systemd: for a trial in folders of your own
# --remove       take programs and service away; settings and state stay
# Everything else goes to `emberlink-edge init`, which writes the first edge.toml and never touches one that is there.
set -euo pipefail
checkout=$(realpath "$(dirname "$0")/..")
prefix=/opt/emberlink etc=/etc/emberlink state=/var/lib/emberlink with_system=yes is_removal=no
command=/usr/local/bin/emberlink-edge unit=/etc/systemd/system/emberlink-edge.service
init=()
while (($#)); do
    case $1 in
        --prefix | --etc | --state | --camera | --cloud | --edge-id | --daily-limit | --timezone)
            (($# > 1)) || { echo "$1 needs a value (see --help)" >&2; exit 2; } ;;
    esac
    case $1 in
        --prefix) prefix=$(realpath -m "$2"); shift 2 ;;
        --etc) etc=$(realpath -m "$2"); shift 2 ;;
        --state) state=$(realpath -m "$2"); shift 2 ;;
        --no-system) with_system=no; shift ;;
        --remove) is_removal=yes; shift ;;
        -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
        --camera | --cloud | --edge-id | --daily-limit | --timezone) init+=("$1" "$2"); shift 2 ;;
        *) echo "unknown: $1 (see --help)" >&2; exit 2 ;;
    esac
done

cd "$checkout"
say() { printf '\n== %s\n' "$*"; }
if [[ $with_system == yes ]] && ((EUID != 0)); then
    echo "Run it as root, or with --no-system for a trial." >&2
    exit 2
fi
if [[ $is_removal == yes ]]; then
    if [[ $with_system == yes ]]; then
        [[ ! -d /run/systemd/system ]] || systemctl disable --now emberlink-edge || true
        rm -f "$unit" "$command"
        [[ ! -d /run/systemd/system ]] || systemctl daemon-reload
    fi
    [[ ! -f $prefix/pyvenv.cfg ]] || rm -rf "$prefix"
    echo "Removed. Settings in $etc, state and evidence in $state, and the user emberlink are still there."
    exit 0
fi
if [[ $with_system == yes ]]; then
    say "Packages: Python, and the libraries that OpenCV needs"
    apt-get update -qq
    glib=libglib2.0-0
    apt-cache show libglib2.0-0t64 >/dev/null 2>&1 && glib=libglib2.0-0t64
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv libgl1 "$glib"
    getent passwd emberlink >/dev/null ||
        useradd --system --home-dir "$state" --shell /usr/sbin/nologin --groups video emberlink
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed, this is $(python3 --version): Debian 12, Ubuntu 24.04 or later have it." >&2
    exit 2
}
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
    cat >"$command" <<WRAPPER
#!/bin/sh
# The command line as the service's user and with its settings. Written by install-edge.sh.
EMBERLINK_EDGE_CONFIG=$etc/edge.toml exec runuser -u emberlink -- $prefix/bin/emberlink-edge "\$@"
WRAPPER
    chmod 755 "$command"
    if [[ -d /run/systemd/system ]]; then
        say "Service emberlink-edge"
        sed -e "s|/opt/emberlink/|$prefix/|g" -e "s|/etc/emberlink/|$etc/|g" \
            -e "s|/var/lib/emberlink\$|$state|" -e "/^StateDirectoryMode=/a ReadWritePaths=$state" \
            deploy/systemd/emberlink-edge.service >"$unit"
        systemctl daemon-reload
        systemctl enable emberlink-edge
        systemctl restart emberlink-edge
    else
        echo "systemd does not run here; start it with: emberlink-edge run"
    fi
fi

say "What the doctor says"
doctor=("$prefix/bin/emberlink-edge" doctor --config "$etc/edge.toml")
[[ $with_system == no ]] || doctor=("$command" doctor)
"${doctor[@]}" || echo "Fix what FAILs above; then run the doctor again."
