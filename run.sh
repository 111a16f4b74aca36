#!/bin/sh
# Installs the locked packages when they are missing or out of date, quietly when nothing is to do, then runs
# Bun's pinned version with the arguments given. Needs either npm or any Bun, nothing else.
set -eu
cd "$(dirname "$0")"

installed=node_modules/.spillway-lock

install_packages() {
  # Another role may be installing in the same folder: the second waits and then finds nothing to do.
  lock=.install-lock
  until mkdir "$lock" 2>/dev/null; do
    pid=$(cat "$lock/pid" 2>/dev/null || true)
    if [ -n "$pid" ] && ! kill -0 "$pid" 2>/dev/null; then rm -rf "$lock"; else sleep 0.2; fi
  done
  trap 'rm -rf "$lock"' EXIT INT TERM
  echo $$ >"$lock/pid"
  if ! cmp -s bun.lock "$installed"; then
    echo "Installing packages (once) ..." >&2
    log=$(mktemp)
    if command -v bun >/dev/null 2>&1; then
      bun install --frozen-lockfile >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; exit 1; }
    elif command -v npx >/dev/null 2>&1; then
      npx --yes "bun@$(sed -n 's/.*"bun": "\([0-9.]*\)".*/\1/p' package.json)" install --frozen-lockfile >"$log" 2>&1 ||
        { cat "$log" >&2; rm -f "$log"; exit 1; }
    else
      echo "Neither npm nor bun is installed: one of them is needed" >&2
      exit 1
    fi
    rm -f "$log"
    cp bun.lock "$installed"
  fi
  rm -rf "$lock"
  trap - EXIT INT TERM
}

cmp -s bun.lock "$installed" || install_packages
exec node_modules/.bin/bun "$@"
