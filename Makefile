# Every target works on a fresh machine with Rust and make; what else is needed, it installs.

CARGO ?= cargo
SH ?= sh

.PHONY: help build demo demo-live test test-matrix lint bench install-rabbitmq clean

help:
	@echo 'make demo              thousands of messy orders through a private RabbitMQ, with a ledger'
	@echo 'make demo-live         the same, and it stays up until Ctrl-C'
	@echo 'make build             the release binary: target/release/warrener'
	@echo 'make test              every test, on a private RabbitMQ'
	@echo 'make test-matrix       the same on RabbitMQ 4.0 and 4.3 too; needs root, see tests/matrix.sh'
	@echo 'make lint              format, clippy, documentation'
	@echo 'make bench             benchmarks'
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

# SUITES='trixie forky' picks some of them.
test-matrix: install-rabbitmq
	CARGO='$(CARGO)' bash tests/matrix.sh $(SUITES)

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items

bench:
	$(CARGO) bench --locked

install-rabbitmq:
	@$(SH) packaging/install-rabbitmq.sh

clean:
	$(CARGO) clean
