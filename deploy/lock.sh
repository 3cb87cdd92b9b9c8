#!/usr/bin/env bash
# Writes deploy/locks/*.txt: every package pinned with its hashes, no host names. Called by `make lock`.
set -euo pipefail
cd "$(dirname "$0")/.."
compile=${PIP:-pip-compile}
options=(--quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --resolver=backtracking)
build=$(mktemp --suffix=.in)
trap 'rm -f "$build"' EXIT
printf 'hatchling\neditables\n' >"$build"
"$compile" "${options[@]}" --extra edge --extra mqtt -o deploy/locks/edge.txt pyproject.toml "$build"
"$compile" "${options[@]}" --extra cloud --extra redis -o deploy/locks/cloud.txt pyproject.toml "$build"
"$compile" "${options[@]}" --extra cpu -o deploy/locks/cpu.txt pyproject.toml "$build"
"$compile" "${options[@]}" --extra cpu --extra dev -o deploy/locks/dev.txt pyproject.toml "$build"
if grep -lE 'https?://|--(extra-)?index-url|--find-links' deploy/locks/*.txt; then
    echo 'a lock file names a host' >&2
    exit 1
fi
