#!/bin/sh
# Installs the locked packages when they are missing or out of date, quietly when nothing is to do, then runs
# Bun's pinned version with the arguments given. Needs either npm or any Bun, nothing else.
set -eu
cd "$(dirname "$0")"

installed=node_modules/.spillway-lock
# A link to the pid of whoever installs: made in one step, so that two roles started at once do not install twice.
lock=.install-lock
wait_seconds_max=600

fail() {
  echo "$1" >&2
  exit 1
}

is_running() {
  kill -0 "$1" 2>/dev/null || [ -d "/proc/$1" ]
}

take_lock() {
  waited=0
  until ln -s "$$" "$lock" 2>/dev/null; do
    owner=$(readlink "$lock" 2>/dev/null || true)
    [ -n "$owner" ] || [ -w . ] || fail "Cannot install packages: no permission to write to $PWD"
    if [ -n "$owner" ] && ! is_running "$owner"; then
      rm -f "$lock"
      continue
    fi
    [ "$waited" -ne 0 ] || echo "Waiting for process $owner, which installs packages ..." >&2
    [ "$waited" -lt "$wait_seconds_max" ] || fail "Gave up waiting: remove $PWD/$lock if nothing installs packages"
    sleep 1
    waited=$((waited + 1))
  done
}

install_packages() {
  take_lock
  log=$(mktemp)
  trap 'rm -f "$lock" "$log"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if ! cmp -s bun.lock "$installed"; then
    echo "Installing packages (once) ..." >&2
    if command -v bun >/dev/null 2>&1; then
      set -- bun
    elif command -v npx >/dev/null 2>&1; then
      set -- npx --yes "bun@$(sed -n 's/.*"bun": "\([0-9.]*\)".*/\1/p' package.json)"
    else
      fail "Neither npm nor bun is installed: one of them is needed"
    fi
    if ! "$@" install --frozen-lockfile >"$log" 2>&1; then
      cat "$log" >&2
      fail "Installing packages failed: see above"
    fi
    cp bun.lock "$installed"
  fi
  rm -f "$lock" "$log"
  trap - EXIT INT TERM
}

cmp -s bun.lock "$installed" || install_packages
exec node_modules/.bin/bun "$@"
