#!/usr/bin/env bash
# Resolves pyproject.toml into requirements/{cpu,gpu}.txt: every package and version that `make setup` installs.
set -euo pipefail
cd "$(dirname "$0")/.."
setting() { .venv/bin/python -m pip config get "$1" 2>/dev/null || true; }
sources=(--index-strategy unsafe-best-match)
for url in $(setting global.extra-index-url); do sources+=(--index "$url"); done
compile() {
    .venv/bin/uv pip compile -q pyproject.toml --python-version 3.11 --extra dev "${sources[@]}" \
        --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
        --override requirements/overrides-common.txt "$@"
}
links=()
for folder in $(setting global.find-links); do links+=(--find-links "$folder"); done
compile --extra gpu -o requirements/gpu.txt
compile --extra cpu "${links[@]}" --override requirements/overrides-cpu.txt -o requirements/cpu.txt
