# Sourced by check.sh and .ci/run: named steps, each with a heading and its duration; the first that fails ends the run.
current=
step_start=$SECONDS

finish() {
  local status=$?
  [ -n "$current" ] || return 0
  if [ "$status" -eq 0 ]; then
    printf -- '-- %s: %d s\n' "$current" $((SECONDS - step_start))
  else
    printf -- '-- %s: FAILED after %d s\n' "$current" $((SECONDS - step_start)) >&2
  fi
}
trap finish EXIT

# step NAME COMMAND ...: the command runs under `set -e`, so a function may be given.
step() {
  current=$1
  step_start=$SECONDS
  shift
  printf '\n== %s\n' "$current"
  "$@"
  finish
  current=
}
