# Builds a CMake preset with one line of progress. Sourced by duet and test, after tools/packages.sh (bash).
# shellcheck shell=bash
root=${root:?the folder of the checkout}

# True when the program of PRESET is newer than everything that it is built from. A folder counts as well as a file: its time
# changes when a file is added, removed or renamed.
build_is_current() { # PRESET
  local build=$root/build/$1 sources=() name
  [ -x "$build/bin/duet" ] && [ -e "$build/.built" ] || return 1
  for name in CMakeLists.txt CMakePresets.json cmake src apps catalog include; do
    [ ! -e "$root/$name" ] || sources+=("$root/$name")
  done
  [ -z "$(find "${sources[@]}" -newer "$build/.built" -print -quit)" ]
}

# Takes the one lock for installing and building in this checkout; it ends with unlock_build, or with the process.
lock_build() {
  if ! { mkdir -p "$root/build" && : >>"$root/build/.lock"; } 2>/dev/null; then
    die "cannot write to $root/build: build once as the owner of this folder, then everyone can run it"
  fi
  exec {build_lock}>>"$root/build/.lock"
  flock -n "$build_lock" && return
  say "waiting for another build in this folder to finish"
  flock "$build_lock"
}
unlock_build() { exec {build_lock}>&-; }

# One compiler needs up to a gigabyte.
build_jobs() {
  local jobs memory_gib
  jobs=$(nproc)
  memory_gib=$(awk '/^MemTotal:/ { print int($2 / 1048576) }' /proc/meminfo)
  [ "$memory_gib" -ge 1 ] || memory_gib=1
  echo $((jobs < memory_gib ? jobs : memory_gib))
}

# Keeps the lines of ninja that tell how far it is; without a terminal one in ten, so that a log shows progress as well.
count_steps() {
  local line step steps tenth last=-1
  if [ -t 2 ]; then
    while IFS= read -r line; do
      if [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\ (.*)$ ]]; then
        printf 'duet: building %s/%s: %s\n' "${BASH_REMATCH[@]:1:2}" "${BASH_REMATCH[3]##*/}"
      fi
    done | show_progress /dev/null
    return
  fi
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\ [^R] ]] || continue # not ninja's own "Re-checking globbed directories"
    step=${BASH_REMATCH[1]} steps=${BASH_REMATCH[2]} tenth=$((10 * step / steps))
    [ "$tenth" = "$last" ] || say "building $step/$steps"
    last=$tenth
  done
}

# Configures and builds PRESET. The log stays, as build/PRESET/build.log; where it fails its end is shown.
build_preset() { # PRESET
  local build=$root/build/$1 log status
  if [ -f "$build/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt"; then
    say "build/$1 was made for another folder: building anew"
    rm -rf "$build"
  fi
  mkdir -p "$build"
  log=$build/build.log
  : >"$build/.building" # what changes from here on is not in this build
  status=0
  (cd "$root" && cmake --preset "$1") >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" = 0 ]; then
    (cd "$root" && NINJA_STATUS='[%f/%t] ' cmake --build --preset "$1" -j "$(build_jobs)") 2>&1 </dev/null |
      tee -a "$log" | count_steps || status=$?
  fi
  if [ "$status" != 0 ]; then
    tail -n 40 "$log" >&2
    die "the build failed (whole log: $log)"
  fi
  mv "$build/.building" "$build/.built"
}
