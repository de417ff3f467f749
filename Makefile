# What a developer types; .ci/run types the same.

SHELL := /bin/bash
# A shell that was opened before Rust was installed does not know where it is.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help setup build run stop test test-compose soak lint fuzz bench clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## Install what is missing (Debian packages, Rust toolchain)
	@scripts/setup.sh

build: setup ## Build target/release/libdashboard.so and dashboard-sidecar
	cargo build --release --package dashboard-module --package dashboard-sidecar --target-dir target

run: build ## Start Postgres, the sidecar and Redis on port 6380 with demonstration data
	@scripts/run.sh

stop: ## End what make run has started; the data stays
	@scripts/stop.sh

test: ## Run every test, on real servers and in a real browser of their own
	@scripts/setup.sh chromium chromium-driver fonts-liberation pgbouncer python3-venv
	cargo test --workspace

test-compose: ## Start docker-compose.yml for real, with a Docker daemon of its own; needs root
	@scripts/setup.sh docker.io docker-compose debootstrap iptables
	@tests/compose/run.sh

soak: setup ## Hold what clients see, then counters against tables, to what is promised, for SOAK=10m each; SEED=n repeats an order
	for test in no_history_with_faults_breaks_a_promise counters_say_what_the_tables_say; do \
		SOAK=$${SOAK:-10m} cargo test --package e2e --test e2e -- --nocapture --test-threads=1 $$test || exit; done

lint: ## Check format, lints, documentation and scripts; warnings are errors
	@scripts/setup.sh shellcheck
	cargo fmt --all --check
	cargo fmt --manifest-path module/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	shellcheck -x scripts/*.sh tests/compose/*.sh .ci/run

fuzz: ## Look for input that breaks a reader, FUZZ_SECONDS=60 for each of the five
	@scripts/fuzz.sh

bench: setup ## Measure everything; PARTS="hits herd http neighbours warming counters sets writers feed compaction" for some of it
	cargo run --release --package e2e --bin bench -- $(PARTS)

clean: ## Stop, then remove target/ and .run/ (the demonstration's data)
	@scripts/stop.sh --purge
	cargo clean --target-dir target
