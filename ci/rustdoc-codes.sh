#!/bin/sh
# rustdoc that compares the error codes of programs that must not compile, as stable rustdoc does not.
RUSTC_BOOTSTRAP=1 exec "${RUSTDOC_PLAIN:-rustdoc}" "$@"
