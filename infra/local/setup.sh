#!/bin/sh
# Makes .venv: Python 3.11 and everything Aisle needs. Safe to repeat.
set -eu

log=.local/setup.log

# Debian ships Python without the part that makes environments.
can_make_environments() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

version_of() {
    "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null
}

find_python() {
    found=
    for name in ${PYTHON:-} python3.11 python3 python; do
        version=$(version_of "$name") || continue
        case $version in
        3.11.*) command -v "$name" && return ;;
        *) found="${found:-$version at $(command -v "$name")}" ;;
        esac
    done
    cat >&2 <<WORDS
Aisle needs Python 3.11, found ${found:-no Python at all}.
Its training libraries run on no other version. To get it beside the one you have:
  Debian 12:     sudo apt-get install python3.11 python3.11-venv
  macOS:         brew install python@3.11
  anywhere else: pyenv install 3.11, or uv python install 3.11
Then run make again; PYTHON=/path/to/python3.11 make setup names one that is not on the PATH.
WORDS
    return 1
}

require_venv() {
    can_make_environments "$1" && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python3.11-venv with apt …"
        apt-get -qq update || true
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes python3.11-venv >>"$log" 2>&1 || true
    fi
    can_make_environments "$1" && return
    cat >&2 <<WORDS
$1 cannot make a virtual environment: its venv or ensurepip module is missing.
On Debian and Ubuntu: sudo apt-get install python3.11-venv
WORDS
    return 1
}

make_environment() {
    case $(version_of .venv/bin/python || true) in
    3.11.*) ;;
    *) "$1" -m venv --clear .venv ;;
    esac
    # pip 26.3 refuses the metadata of merlin-models.
    .venv/bin/python -m pip install --quiet 'pip<26.3'
}

# On a terminal one line that changes; elsewhere one line per package.
show_progress() {
    if [ -t 1 ]; then
        awk '/^(Collecting|Downloading|Building|Installing)/ {
            printf "\r\033[K  %s", substr($0, 1, 70); fflush() } END { printf "\r\033[K" }'
    else
        awk '/^(Collecting|Building|Installing)/ { print "  " substr($0, 1, 100); fflush() }'
    fi
}

install_everything() {
    echo "Installing Aisle and its libraries: about 1.5 GB, some minutes the first time …"
    {
        .venv/bin/python -m pip install --progress-bar off -c constraints.txt -e '.[ml,triton,dev]' 2>&1 ||
            echo "setup: pip failed"
    } | tee "$log" | show_progress
    if tail -n 1 "$log" | grep -q '^setup: pip failed$'; then
        tail -n 20 "$log" >&2
        echo "Installation failed; all of its output is in $log" >&2
        return 1
    fi
}

mkdir -p .local
chmod 700 .local
python=$(find_python)
require_venv "$python"
make_environment "$python"
install_everything
