#!/usr/bin/env bash
# Every check that a change must pass, in order; there is no other list.
#
#   ci/check.sh              all of them
#   ci/check.sh fmt clippy   the named ones
#
# Needs, as Debian names them: libzmq3-dev libsodium-dev pkg-config g++ make, libczmq-dev and python3-zmq (real peers), cmake, clang and
# cppzmq-dev (users of the C interface), man-db (reads its manual pages), dpkg-dev and lintian (its packages), krb5-kdc,
# krb5-admin-server and krb5-user (Kerberos), valgrind and libc6-dbg, and Rust 1.85 as /usr/bin/cargo (rustc-web, cargo-web and
# libstd-rust-web-dev at 1.85.*); IRONHOUSE_OLDEST_RUST names another folder that holds cargo and rustc; cargo-deny; and user namespaces,
# as `unshare --user --map-root-user true` has them. A missing one fails: nothing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/steps.sh

all=(lock fmt deny vendored clippy test wrong_use interop all_features capi linkage doc valgrind oldest_rust)

check_lock() {
  cargo metadata --locked --format-version 1 >/dev/null
}

check_fmt() {
  cargo fmt --all --check
}

# Licences and sources of all dependencies, and known holes in them. The list of holes is fetched anew each time; where its host is out of
# reach, the check fails unless IRONHOUSE_ALLOW_MISSING names it.
check_deny() {
  PATH=$PWD/target/tools/bin:$PATH
  if ! cargo deny --version; then
    echo "ci/check.sh: cargo-deny is missing: cargo install --locked cargo-deny" >&2
    return 1
  fi
  cargo deny --locked check licenses bans sources
  if cargo deny --locked fetch db 2>target/advisories; then
    cargo deny --locked check advisories
  elif [[ " ${IRONHOUSE_ALLOW_MISSING:-} " == *" advisories "* ]]; then
    echo "advisories NOT checked: their database cannot be fetched, and IRONHOUSE_ALLOW_MISSING names them"
  else
    cat target/advisories >&2
    echo "the database of advisories cannot be fetched; IRONHOUSE_ALLOW_MISSING=advisories does without" >&2
    return 1
  fi
}

# The embedded libraries, even where the system's are installed.
check_vendored() {
  local -x LIBZMQ_NO_PKG_CONFIG=1
  cargo test --locked --features vendored --package zmq-sys-wrap
  cargo test --locked --features vendored,draft --test it -- draft:: names::
  cargo run --locked --features vendored --example ironhouse
  libraries_of ironhouse >target/linkage
  if grep -E 'libzmq|libsodium' target/linkage; then
    echo "the embedded libraries are in the program, and yet it loads those above" >&2
    return 1
  fi
}

check_clippy() {
  cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
}

check_test() {
  cargo test --locked --workspace --exclude ironhouse-capi
}

# Programs that must not compile, and fail for the reason given.
check_wrong_use() {
  RUSTDOC=$PWD/ci/rustdoc-codes.sh cargo test --locked --doc wrong_use
}

# Against CZMQ, pyzmq and plain C programs; with a Kerberos server; with the limits of a user namespace, unless there can be none and
# IRONHOUSE_ALLOW_MISSING names them.
check_interop() {
  local skip=()
  if [[ " ${IRONHOUSE_ALLOW_MISSING:-} " == *" user-namespaces "* ]] && ! unshare --user --map-root-user true; then
    echo "tests in user namespaces NOT run: there can be none, and IRONHOUSE_ALLOW_MISSING names them"
    skip=(--skip without_watches_left --skip without_instances_left)
  fi
  cargo test --locked --test it -- --ignored "${skip[@]}"
}

check_all_features() {
  cargo test --locked --workspace --exclude ironhouse-capi --all-features
}

# The C library, its packages, and the programs that use it, by both compilers and under valgrind too. By itself: in a build of the whole workspace it would link libzmq.
check_capi() {
  cargo test --locked --package ironhouse-capi -- --include-ignored
}

# One libzmq in a process: the system's.
check_linkage() {
  cargo build --locked --example ironhouse
  libraries_of ironhouse >target/linkage
  grep -E 'libzmq|libsodium' target/linkage
  [ "$(grep -c libzmq target/linkage)" -eq 1 ]
  [ "$(grep -c libsodium target/linkage)" -eq 1 ]
}

check_doc() {
  RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
}

# The library's own tests and those with sockets, awaited ones among them; and the draft API, which the embedded libzmq has. Fewer random
# cases: valgrind runs them fifty times slower. Not those that fork: what the parent's threads hold in the child's memory is lost there
# by design, and valgrind counts it. Nor those whose outcome depends on prompt answers, or on the age of tens of thousands of admissions.
check_valgrind() {
  under_valgrind --features tokio --lib --test it -- --skip forked_child --skip every_cause_of_a_failure \
    --skip admissions_that_nobody_claims --skip whose_admission_had_to_be_forgotten
  LIBZMQ_NO_PKG_CONFIG=1 under_valgrind --features vendored,draft --test it -- draft::
}

# Builds tests as cargo is told to, and runs the programs side by side, as they are told to behind `--`: each of them has one core, as
# valgrind runs one thread at a time, so none of their own tests runs beside another and takes its time.
under_valgrind() {
  local program log failed=0 build=() running=()
  while [ "$1" != -- ]; do
    build+=("$1")
    shift
  done
  shift
  cargo test --locked "${build[@]}" --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' >target/test-programs
  [ -s target/test-programs ]
  while read -r program; do
    PROPTEST_CASES=8 valgrind --quiet --error-exitcode=9 --fair-sched=yes \
      --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
      --suppressions=ci/valgrind.supp "$program" --quiet --test-threads 1 "$@" \
      >"target/valgrind-${#running[@]}" 2>&1 &
    running+=($!)
  done <target/test-programs
  for log in "${!running[@]}"; do
    wait "${running[$log]}" || failed=1
    sed -n "$((log + 1))p" target/test-programs
    cat "target/valgrind-$log"
  done
  return "$failed"
}

# The library as its users build it, without dev-dependencies, on the oldest Rust it promises.
check_oldest_rust() {
  local rust=${IRONHOUSE_OLDEST_RUST:-/usr/bin}
  "$rust/cargo" --version
  "$rust/rustc" --version | grep -F 'rustc 1.85.'
  local features
  for features in '' tracing,metrics,draft,tokio; do
    RUSTC=$rust/rustc CARGO_TARGET_DIR=target/oldest \
      "$rust/cargo" check --locked --lib --package ironhouse --features "$features"
  done
  RUSTC=$rust/rustc CARGO_TARGET_DIR=target/oldest "$rust/cargo" check --locked --lib --package ironhouse-capi
}

# The shared libraries that an example loads.
libraries_of() {
  ldd "${CARGO_TARGET_DIR:-target}/debug/examples/$1"
}

for name in "${@:-${all[@]}}"; do
  if ! declare -F "check_$name" >/dev/null; then
    echo "ci/check.sh: no check is called $name; there are: ${all[*]}" >&2
    exit 2
  fi
done
mkdir -p target
for name in "${@:-${all[@]}}"; do
  step "$name" "check_$name"
done
printf '\npassed in %d s: %s\n' "$SECONDS" "${*:-${all[*]}}"
