# Every target works on a fresh machine with Rust and make; what else is needed, it installs.

CARGO ?= cargo
SH ?= sh

.PHONY: help build demo demo-live test test-long test-matrix lint bench install-rabbitmq clean

help:
	@echo 'make demo              thousands of messy orders through a private RabbitMQ, with a ledger'
	@echo 'make demo-live         the same, and it stays up until Ctrl-C'
	@echo 'make build             the release binary: target/release/warrener'
	@echo 'make test              every test, on a private RabbitMQ'
	@echo 'make test-long         a crash loop for eight minutes, 500 stops and kills for twelve'
	@echo 'make test-matrix       the same on RabbitMQ 4.0 and 4.3 too; needs root, see tests/matrix.sh'
	@echo 'make lint              format, clippy, documentation'
	@echo 'make bench             benchmarks of the parts, then beside other consumers'
	@echo 'make bench-peers       only the latter; PEERS=--help says what can be chosen'
	@echo 'make bench-topology    10,000 queues: apply beside an import of definitions'
	@echo 'make bench-instructions  instructions a message, held against benches/instructions.txt'
	@echo 'make fuzz              hostile input, FUZZ_SECONDS of it (60) for each target; needs a C++ compiler'
	@echo 'make install-rabbitmq  RabbitMQ and Python, if missing'

build:
	$(CARGO) build --release --locked

demo: install-rabbitmq build
	target/release/warrener dev topologies/quickstart/quickstart.yaml --quiet \
		--feed topologies/quickstart/orders.jsonl --exchange orders --until-settled

demo-live: install-rabbitmq build
	target/release/warrener dev topologies/quickstart/quickstart.yaml \
		--feed topologies/quickstart/orders.jsonl --exchange orders

test: install-rabbitmq
	$(CARGO) test --locked

# What takes too long for every day, by name; prints its figures.
test-long: install-rabbitmq
	$(CARGO) test --locked --test it -- --ignored --nocapture --test-threads 1

# SUITES='trixie forky' picks some of them.
test-matrix: install-rabbitmq
	CARGO='$(CARGO)' bash tests/matrix.sh $(SUITES)

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items
	$(MAKE) fuzz-check

bench: bench-parts bench-peers

.PHONY: bench-parts bench-peers bench-topology bench-instructions

bench-parts:
	$(CARGO) bench --locked --bench protocol --bench plan

# What it takes beside a broker, it gets from the registries of Python, Node and the distribution.
bench-peers: install-rabbitmq
	$(SH) benches/peers/install.sh
	$(CARGO) bench --locked --bench peers -- $(PEERS)

bench-topology: install-rabbitmq
	$(CARGO) bench --locked --bench peers -- --part topology $(PEERS)

bench-instructions:
	$(SH) benches/instructions.sh

# What `cargo fuzz` asks of the compiler, but for the sanitizer, which needs nightly and finds
# nothing in safe code. With a target named, build scripts and macros go without.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= decoder stack definitions
FUZZ_HOST := $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
	$(foreach flag,level=4 inline-8bit-counters pc-table trace-compares,-Cllvm-args=-sanitizer-coverage-$(flag))
FUZZ_SEEDS_decoder := fuzz/seeds
FUZZ_OPTIONS_decoder := -dict=fuzz/decoder.dict
FUZZ_SEEDS_stack := topologies/quickstart
FUZZ_SEEDS_definitions := tests/it/carry/definitions

.PHONY: fuzz fuzz-check fuzz-build $(FUZZ_TARGETS:%=fuzz-%)

fuzz: $(FUZZ_TARGETS:%=fuzz-%)

fuzz-build:
	RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --locked --release --manifest-path fuzz/Cargo.toml \
		--target $(FUZZ_HOST)

# What it finds is in fuzz/artifacts, and run again with the file as its argument.
$(FUZZ_TARGETS:%=fuzz-%): fuzz-%: fuzz-build
	mkdir -p fuzz/corpus/$* fuzz/artifacts/$*
	fuzz/target/$(FUZZ_HOST)/release/$* -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=512 \
		-timeout=10 -max_len=16384 $(FUZZ_OPTIONS_$*) -print_final_stats=1 \
		-artifact_prefix=fuzz/artifacts/$*/ fuzz/corpus/$* $(FUZZ_SEEDS_$*)

fuzz-check:
	$(CARGO) clippy --locked --manifest-path fuzz/Cargo.toml --target-dir target \
		--no-default-features -- -D warnings

install-rabbitmq:
	@$(SH) packaging/install-rabbitmq.sh

clean:
	$(CARGO) clean
