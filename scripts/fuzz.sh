#!/usr/bin/env bash
# Runs the checks of module/src/fuzz under cargo-fuzz: FUZZ_SECONDS (60) for each, or for those that are named as
# arguments. What cargo-fuzz finds to be new ways through the code stays in module/fuzz/found, for the next run;
# an input for which a check fails is named at the end.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

VERSION=0.13.2
TOOL=$ROOT/target/tools/bin/cargo-fuzz

"$ROOT/scripts/setup.sh" g++
if [ "$("$TOOL" --version 2>/dev/null)" != "cargo-fuzz $VERSION" ]; then
    step "Installing cargo-fuzz $VERSION in target/tools"
    cargo install --locked --root "$ROOT/target/tools" --version "$VERSION" cargo-fuzz
fi

cd "$ROOT/module/fuzz"
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cd corpus && printf '%s\n' *)
for target in "${targets[@]}"; do
    step "Fuzzing $target for ${FUZZ_SECONDS:-60} s"
    mkdir -p "found/$target"
    # The sanitizers need a nightly compiler, and look for what safe code does not do.
    "$TOOL" fuzz run --fuzz-dir . --sanitizer none "$target" "found/$target" "corpus/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-60}" -max_len=16384
done
