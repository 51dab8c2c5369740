# One machine, one command. `make help` lists what there is.

SOURCE ?= auto
FORMAT ?= text
REPLAY ?=
SPEED ?=
PART ?=
FOLLOW ?=
FORCE ?=
REPAIR ?=
DEEP ?=
FROM ?=
TO ?=
PREFIX ?=
DRY_RUN ?=
MODE ?= refetch
PRODUCTS ?=
CONCURRENCY ?=
EVERYTHING ?=
QUICK ?=
SOAK ?=
TRANSPORT ?=
SEED ?=
KILLS ?=
WITHOUT ?=
RECORDS ?=

# Variables of this file that are settings of the product; what is already in the environment stays when they are empty.
ifneq ($(REPLAY),)
export PULSE_REPLAY_FILE := $(REPLAY)
endif
ifneq ($(SPEED),)
export PULSE_REPLAY_SPEED := $(SPEED)
endif

core := .venvs/core/bin
stack := $(core)/python -m stack

.DEFAULT_GOAL := help
.PHONY: help run up down status logs clean fsck replay-archive page-test backfill streamer simulator warehouse airflow test test-long test-containers drill lint format chaos chaos-mutations pictures charts bench-marts bench-backfill bench-backlog bench-dag bench-sealing bench-streamer bootstrap

help: ## Show this list
	@echo 'make TARGET [SOURCE=auto|live|simulated|replay] [REPLAY=file] [SPEED=1|10|max]'
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

run: bootstrap ## Start everything and show its status; Ctrl-C stops all of it
	@$(stack) run --source $(SOURCE)

up: bootstrap ## Start everything and return when it is healthy
	@$(stack) up --source $(SOURCE) --format $(FORMAT)

down: bootstrap ## Stop everything
	@$(stack) down

status: bootstrap ## Show the status (FORMAT=json for scripts); fails when something is wrong
	@$(stack) status --format $(FORMAT)

logs: bootstrap ## Show the end of the logs (PART=streamer for one, FOLLOW=1 to go on)
	@$(stack) logs $(if $(PART),--part $(PART)) $(if $(FOLLOW),--follow)

clean: bootstrap ## Delete the data (asks; FORCE=1 does not, and deletes live data too)
	@$(stack) clean $(if $(FORCE),--force)

fsck: bootstrap ## Compare spool, archive, ledger and warehouse (REPAIR=1, DEEP=1)
	@settings=$$($(stack) settings) && eval "$$settings" && \
		$(core)/python -m include.pipeline fsck $(if $(REPAIR),--repair) $(if $(DEEP),--deep)

replay-archive: bootstrap ## Load FROM= to TO= (hours, UTC) of the archive into datasets of PREFIX= (DRY_RUN=1)
	@settings=$$($(stack) settings) && eval "$$settings" && \
		$(core)/python -m include.pipeline replay --from "$(FROM)" --to "$(TO)" --dataset-prefix "$(PREFIX)" \
		$(if $(DRY_RUN),--dry-run)

page-test: bootstrap ## Send a test message to every alert channel; fails when one does not take it
	@$(stack) page-test

backfill: bootstrap ## MODE=refetch|replay|rebuild of FROM= to TO= (UTC; PRODUCTS=, DRY_RUN=1, CONCURRENCY=, EVERYTHING=1, PREFIX=)
	@$(stack) backfill --mode "$(MODE)" --from "$(FROM)" --to "$(TO)" $(if $(PRODUCTS),--products "$(PRODUCTS)") \
		$(if $(DRY_RUN),--dry-run) $(if $(CONCURRENCY),--concurrency $(CONCURRENCY)) $(if $(EVERYTHING),--everything) \
		$(if $(PREFIX),--prefix "$(PREFIX)")

streamer simulator warehouse airflow: bootstrap
	@$(stack) part $@ --source $(SOURCE)

streamer: ## Only the streamer, in the foreground, configured by the environment
simulator: ## Only the fake exchange or replayer, in the foreground
warehouse: ## Only the local warehouse, in the foreground
airflow: ## Only Airflow, in the foreground

test: ## Install what the tests need and run the suite
	@scripts/bootstrap test
	@scripts/test

test-long: ## Run what takes longer: laws with many cases, kills of everything, the web UI, scanners
	@scripts/bootstrap test
	@scripts/test long pages audit

pictures: ## Take the screenshots of the docs anew, as the tests of the web UI see it
	@scripts/bootstrap test
	@PULSE_PICTURES=docs/images scripts/test pages

test-containers: ## Run docker-compose.yaml for real and kill its containers
	@scripts/bootstrap test
	@scripts/test compose

drill: ## Fire every alert, and backfill under fire, each on a whole stack (a quarter of an hour)
	@scripts/bootstrap test
	@scripts/test drill

lint: ## Check style, types, imports and SQL
	@scripts/bootstrap test
	@scripts/test lint

format: ## Format the code
	@scripts/bootstrap test
	@$(core)/ruff format .
	@$(core)/ruff check --fix .

bench-streamer: ## Compare the streamer with its peers (QUICK=1; SOAK=minutes, TRANSPORT=picows or websockets)
	@scripts/bootstrap bench
	@$(core)/python -m bench.streamer $(if $(QUICK),--quick) $(if $(SOAK),--soak $(SOAK)) $(if $(TRANSPORT),--transport $(TRANSPORT))

charts: ## Draw the pictures of docs/analysis.md (REPLAY=recording, else the simulated day only)
	@scripts/bootstrap test
	@$(core)/python -m analysis $(if $(REPLAY),--recording $(REPLAY))

bench-marts: bootstrap ## Measure an increment on a short and on a long history
	@$(core)/python -m bench.marts

bench-sealing: bootstrap ## Measure how fast a backlog is sealed, against hashing alone
	@$(core)/python -m bench.sealing

bench-backlog: ## Watch the schedule drain five million records that lie in the spool at once (RECORDS=; a quarter of an hour)
	@scripts/bootstrap test
	@$(core)/python -m bench.backlog $(if $(RECORDS),--records $(RECORDS))

bench-dag: bootstrap ## Measure a run of market_pulse against plain dbt build
	@$(core)/python -m bench.dag

bench-backfill: bootstrap ## Refetch a simulated day under fire, beside the schedule, and rebuild and replay it (half an hour)
	@$(core)/python -m bench.backfill

chaos: bootstrap ## Kill everything, all the time, and count the books (SEED=, KILLS=200, WITHOUT=safeguard)
	@$(core)/python -m chaos $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS)) $(if $(WITHOUT),--without $(WITHOUT))

chaos-mutations: bootstrap ## Take each safeguard away in turn; the books must show it
	@$(core)/python -m chaos --mutations $(if $(SEED),--seed $(SEED))

bootstrap:
	@scripts/bootstrap run
