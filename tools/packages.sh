# The Debian packages that Duet needs, in one place, and what installs them. Sourced by duet, test and .ci/run (bash).
# Why each is needed: docs/dependencies.md. The scripts that source this run under `set -o pipefail`.
# shellcheck shell=bash

# To build the program and run it. ca-certificates, python3 and python3-pip: `duet pull` of models that lie in Python packages.
# shellcheck disable=SC2034  # used by the scripts that source this file
product_packages=(
  g++ cmake ninja-build
  libfmt-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libssl-dev libzip-dev libedit-dev libpcre2-dev
  ca-certificates python3 python3-pip
)

# What the tests need beside those.
# shellcheck disable=SC2034
test_packages=(libgtest-dev libgmock-dev libsimde-dev libutf8proc-dev pkg-config tmux)

# The compiler of the sanitizers' builds: quicker there than g++, and a second reader of every line.
# shellcheck disable=SC2034
sanitizer_packages=(clang-14 libclang-rt-14-dev)

# What the lints of .ci/run need beside those.
# shellcheck disable=SC2034
lint_packages=(clang-format-14 clang-tidy-14 shellcheck git)

say() { printf 'duet: %s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# Copies its input to the file LOG. On a terminal the newest line is shown meanwhile, and gone at the end.
show_progress() { # LOG
  local line columns
  if [ ! -t 2 ]; then
    cat >>"$1"
    return
  fi
  columns=$(tput cols 2>/dev/null) || columns=80
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$1"
    printf '\r\033[K%s' "${line:0:columns - 1}" >&2
  done
  printf '\r\033[K' >&2
}

# The names among PACKAGE... that are not installed. Silent where there is no dpkg: another system brings its own equivalents.
missing_packages() { # PACKAGE...
  command -v dpkg-query >/dev/null || return 0
  local installed package
  # shellcheck disable=SC2016  # dpkg-query's own fields
  installed=" $(dpkg-query -W -f '${db:Status-Status}=${Package} ' "$@" 2>/dev/null || true)"
  for package in "$@"; do
    case $installed in *" installed=$package "*) ;; *) printf '%s\n' "$package" ;; esac
  done
}

# Runs a command of apt as root, without a question and without touching our standard input; waits for another apt's locks.
as_root() { # COMMAND...
  local sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}

# A service of a freshly started machine may be updating the lists: that lock, unlike dpkg's, apt does not wait for.
update_package_lists() { # LOG
  local try
  for try in 1 2 3 4 5 6; do
    as_root apt-get -q update 2>&1 | show_progress "$1" && return 0
    tail -n 5 "$1" | grep -q 'Could not get lock' || return 1
    [ "$try" = 6 ] || sleep 10
  done
  return 1
}

can_become_root() {
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null || return 1
  sudo -n true 2>/dev/null && return 0
  { : </dev/tty; } 2>/dev/null # sudo asks for the password there
}

# Installs those of PACKAGE... that are missing; says so before. Fails with one line that names the command where it cannot.
install_packages() { # WHY PACKAGE...
  local why=$1 missing log apt=(apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends)
  shift
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null || ! can_become_root; then
    die "$why needs packages that only root can install; run: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
  fi
  local how='as root'
  [ "$(id -u)" = 0 ] || how='with sudo'
  say "$why needs ${#missing[@]} Debian packages that are not installed; installing them $how with apt-get:"
  say "  ${missing[*]}"
  log=$(mktemp "${TMPDIR:-/tmp}/duet_install.XXXXXX")
  update_package_lists "$log" || say "warning: the package lists could not be updated; trying with those that are here"
  # The download can be interrupted; the installation finishes first, so that Ctrl-C never leaves half a package behind.
  if as_root "${apt[@]}" --download-only "${missing[@]}" 2>&1 | show_progress "$log"; then
    (
      trap '' INT
      as_root "${apt[@]}" "${missing[@]}" 2>&1 | show_progress "$log"
    ) || true
  fi
  if [ -n "$(missing_packages "${missing[@]}")" ]; then
    tail -n 15 "$log" >&2
    die "the packages could not be installed (whole log: $log)"
  fi
  rm -f "$log"
}
