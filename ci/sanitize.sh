#!/usr/bin/env bash
# The library's own tests and those with sockets under a sanitizer: slower and louder than ci/check.sh, and no part of it.
#
#   ci/sanitize.sh address [test ...]   memory that is used after it was freed, or beyond its end, or never freed
#   ci/sanitize.sh thread  [test ...]   memory that two threads use at once; libzmq and libsodium are built with it too
#
# Needs the compiler's runtimes for Rust (they come with it) and, for `thread`, g++ and make. A stable compiler
# is told by RUSTC_BOOTSTRAP that it may take the option.
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizer=${1:-}
case $sanitizer in
  address | thread) shift ;;
  *)
    sed -n '2,9p' "$0" >&2
    exit 2
    ;;
esac
target=$(rustc --version --verbose | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$sanitizer" CARGO_TARGET_DIR=target/sanitize-$sanitizer
# Random cases: a sanitizer costs ten times as much.
export PROPTEST_CASES=16
features=(--features tokio)
# libzmq asks malloc for as many bytes as a peer's frame claims to have, and takes the refusal: the connection ends.
options=allocator_may_return_null=1
if [ "$sanitizer" = thread ]; then
  # What a library that is not built so orders between threads would not be seen. The standard library is not, either: its part is left out.
  export LIBZMQ_NO_PKG_CONFIG=1 CFLAGS=-fsanitize=thread CXXFLAGS=-fsanitize=thread
  export TSAN_OPTIONS="suppressions=$PWD/ci/tsan.supp $options ${TSAN_OPTIONS:-}"
  RUSTFLAGS+=" -Cunsafe-allow-abi-mismatch=sanitizer"
  features=(--features tokio,vendored,draft)
else
  export ASAN_OPTIONS="detect_stack_use_after_return=1 $options ${ASAN_OPTIONS:-}"
fi
cargo build --locked --target "$target" "${features[@]}" --examples
# Not those that fork, as what the parent's threads hold is lost in the child by design; nor those whose outcome depends on prompt
# answers or on the memory that the process takes; nor the one of locked memory, which a sanitizer does not lock.
cargo test --locked --target "$target" "${features[@]}" --lib --test it --no-fail-fast -- \
  --skip forked_child --skip every_cause_of_a_failure --skip admissions_that_nobody_claims --skip whose_admission_had_to_be_forgotten \
  --skip a_storm_leaves_the_admitted_at_work --skip page_is_locked "$@"
