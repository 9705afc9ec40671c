#!/usr/bin/env bash
# Makes .venv and all that the project needs in it; quick when nothing changed since the last time.
#
#   VLARL_EXTRA=cpu|gpu   which packages (default: gpu where nvidia-smi finds one)
#   PYTHON=...            the Python 3.11 to build on (default: python3.11)
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
die() { printf '[setup] %s\n' "$*" >&2; exit 1; }

python=${PYTHON:-python3.11}
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
    die "needs Python 3.11, and '$python' is not that. Install it (Debian: apt-get install python3.11 python3.11-venv) or set PYTHON=/path/to/python3.11."

# --- what rendering needs from the system ---------------------------------------------------------
libraries=(libEGL.so.1 libGL.so.1 libOSMesa.so)
packages="libegl1 libgl1 libgl1-mesa-dri libegl-mesa0 libosmesa6"
missing=()
loadable=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null || true)
for library in "${libraries[@]}"; do
    grep -q "$library" <<<"$loadable" || missing+=("$library")
done
if ((${#missing[@]})); then
    say "the system lacks ${missing[*]}, which rendering without a screen needs"
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo"; else as_root="no"; fi
    if [ "$as_root" = no ] || ! command -v apt-get >/dev/null; then
        say "going on without; if \`vlarl doctor\` then finds no renderer, have them installed, on Debian by"
        say "    sudo apt-get update && sudo apt-get install -y $packages"
    else
        $as_root apt-get update -qq
        DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $packages >/dev/null
    fi
fi

# --- the browser that tests of the dashboard use ---------------------------------------------------
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing Chromium, in which the dashboard is tested"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
        >/dev/null || say "that failed: the tests that need a browser will be skipped"
fi

# --- which packages, and is that what is installed already? ---------------------------------------
if [ -z "${VLARL_EXTRA:-}" ]; then
    if nvidia-smi -L >/dev/null 2>&1; then VLARL_EXTRA=gpu; else VLARL_EXTRA=cpu; fi
fi
lock="requirements/$VLARL_EXTRA.txt"
[ -f "$lock" ] || die "VLARL_EXTRA is '$VLARL_EXTRA'; it may be cpu or gpu."
stamp=$(cat "$lock" pyproject.toml scripts/setup.sh | sha256sum)
if [ "$(cat .venv/.setup-stamp 2>/dev/null)" = "$stamp" ]; then
    say "up to date ($VLARL_EXTRA)"
    exit 0
fi

if [ "$VLARL_EXTRA" = gpu ]; then
    headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    { command -v gcc >/dev/null && [ -f "$headers/Python.h" ]; } ||
        say "vLLM compiles when it runs: it will need gcc and Python's headers (Debian: gcc python3.11-dev)"
fi

# --- install ------------------------------------------------------------------------------------
say "installing the $VLARL_EXTRA packages into .venv (3.5 GB on disk, half a minute to some minutes as the network is)"
rm -f .venv/.setup-stamp
# Without Debian's python3.11-venv, or interrupted, venv leaves a folder that has a Python and no pip.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
quietly() { "$@" 2> >(grep -v 'neither a file nor a directory' >&2); }
quietly .venv/bin/python -m pip install -q --disable-pip-version-check uv

# uv does not read pip's configuration: hand over the indexes and wheel folders that pip would use.
sources=(--index-strategy unsafe-best-match)
setting() { .venv/bin/python -m pip config get "$1" 2>/dev/null || true; }
for url in $(setting global.index-url) ${PIP_INDEX_URL:-}; do sources+=(--default-index "$url"); done
for url in $(setting global.extra-index-url) ${PIP_EXTRA_INDEX_URL:-}; do sources+=(--index "$url"); done
wheels=$(printf '%s\n' $(setting global.find-links) ${PIP_FIND_LINKS:-} | sort -u)
for folder in $wheels; do sources+=(--find-links "$folder"); done
if [ "$VLARL_EXTRA" = cpu ] && ! ls $(sed 's|$|/torch-2.13.0+cpu-*|' <<<"$wheels") >/dev/null 2>&1; then
    sources+=(--index https://download.pytorch.org/whl/cpu)
fi
export SSL_CERT_FILE=${SSL_CERT_FILE:-${PIP_CERT:-}}
[ -n "$SSL_CERT_FILE" ] || unset SSL_CERT_FILE
quietly .venv/bin/uv pip install -q -p .venv/bin/python --no-deps --compile-bytecode "${sources[@]}" -r "$lock"
quietly .venv/bin/uv pip install -q -p .venv/bin/python --no-deps --no-build-isolation -e .
printf '%s' "$stamp" >.venv/.setup-stamp
say "done: .venv/bin/vlarl --help"
