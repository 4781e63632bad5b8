# Everything here is a short name for a command that can be typed as well; "make" alone lists them.

FUZZTIME ?= 10s
ROUNDS   ?= 200

.DEFAULT_GOAL := help
.PHONY: help build test race ten lint check fuzz bench compare versions clients libraries crash transactions locks fulldisk damage power starts flip cover stuckpipe mutants drawings

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the binaries, as bin/gcd and bin/gcd-tool
	go build -o bin/gcd ./cmd/gcd
	go build -o bin/gcd-tool ./cmd/gcd-tool

test: ## all tests, as the README says
	go test ./...

race: ## all tests under the race detector (needs a C compiler)
	go test -race -timeout 20m ./...

ten: ## all tests under the race detector, ten times in a row
	go test -race -count=10 -timeout 120m ./...

lint: ## the new commits, gofmt, go.mod, go vet, staticcheck, the workflow
	.ci/lint

check: ## before each push: lint, the tests, other systems; at most five minutes on two slow cores
	.ci/check

fuzz: ## each fuzz target for FUZZTIME (10s)
	.ci/fuzz $(FUZZTIME)

bench: ## all benchmarks; the disk's bare sync latency is measured beside them
	go test -run '^$$' -bench . -benchmem ./...

compare: ## gcd beside Redis and others, into docs/benchmarks.md; flags in COMPARE, such as COMPARE=--quick
	cd bench && go run . --out ../docs/benchmarks.md $(COMPARE)

versions: ## this gcd beside another build of it, OTHER=PATH, in 15 pairs of runs of 5 seconds
	cd bench && go run . --only versions --rounds 15 --time 5s --against $(abspath $(OTHER)) $(COMPARE)

clients: ## the tests with Redis client libraries, a module of its own; libraries that are not here are left out
	cd clients && go test -race ./...

drawings: ## parses the drawings of the docs as a forge does; needs Node, and takes its packages from npm
	cd .ci/drawings && npm ci --silent
	node .ci/drawings/check.js README.md docs/*.md docs/decisions/*.md

libraries: ## what "make clients" tries, from Debian's packages and npm; needs root
	.ci/clients-install

crash: ## kill -9 under load, and of what writes in gcd-tool, ROUNDS (200) times
	GCD_CRASH_ROUNDS=$(ROUNDS) go test -run TestKill -count=1 -timeout 30m -v ./cmd/gcd ./cmd/gcd-tool

transactions: ## kill -9 while topics are counted in one MULTI, ROUNDS (200) times: they are equal at every start
	GCD_TRANSACTIONS_ROUNDS=$(ROUNDS) go test -run TestTransactionsUnderKill -count=1 -timeout 60m -v ./cmd/gcd

locks: ## LOCK removed beside a server, starts beside tools, ROUNDS (200) times; OLDER=DIR has the gcd and gcd-tool of another version
	GCD_LOCK_ROUNDS=$(ROUNDS) GCD_LOCK_OLDER=$(OLDER) go test -run 'TestLock|TestStartBeside' -count=1 -timeout 60m -v ./cmd/gcd

damage: ## kill -9 under load, then damage to the end of the log, ROUNDS (200) times: refused, or nothing acknowledged is gone
	GCD_DAMAGE_ROUNDS=$(ROUNDS) go test -run TestDamagedAfterAKill -count=1 -timeout 60m -v ./cmd/gcd

power: ## power losses of stores on the memory disk, in ROUNDS (200) times three lives: nothing durable is gone, and nothing refused
	GCD_POWER_ROUNDS=$(ROUNDS) go test -run TestPowerLoss -count=1 -timeout 60m -v ./store

fulldisk: ## tmpfs, ext4 and btrfs filled and emptied under load, 10 times each; needs root, and loop devices
	GCD_FULLDISK=10 go test -run TestFullDisk -count=1 -timeout 60m -v ./cmd/gcd

stuckpipe: ## a server whose log nobody reads, for a minute under bad requests: no slower, and it stops in time
	GCD_STUCKPIPE=1m go test -run TestStuckPipe -count=1 -timeout 10m -v ./cmd/gcd

starts: ## starts on a new directory, ROUNDS (200) of them: how long until it serves, and whether clients that come early are answered
	GCD_STARTS_ROUNDS=$(ROUNDS) go test -run TestStarts -count=1 -timeout 30m -v ./cmd/gcd

flip: ## each bit of a small directory flipped, and each length it can be cut to, before gcd-tool verify
	GCD_FLIP=1 go test -run TestFlip -count=1 -timeout 60m -v ./tools

mutants: ## each betrayal of internal/mutants in turn, and which test goes red; some of them by MUTANTS='wal-* codec-*'
	go run ./internal/mutants $(MUTANTS)

cover: ## coverage of all packages by all tests, as cover.html
	go test -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -html=cover.out -o cover.html
	go tool cover -func=cover.out | tail -n 1
