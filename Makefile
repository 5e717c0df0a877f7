# The nine commands that matter. `make help` lists them; the others are in dev/seed-commands.mk.

MAKEFLAGS += --no-print-directory
PYTHON ?= python3
.DEFAULT_GOAL := help

.PHONY: run
run: ## CronMon on http://127.0.0.1:8000, with a database of its own; ctrl-C ends it
	@$(PYTHON) dev/run.py serve

.PHONY: check
check: ## format, clippy, unit tests, forbidden crates
	@$(PYTHON) dev/stages.py check

.PHONY: test
test: ## check, and the end-to-end tests
	@$(PYTHON) dev/stages.py test

.PHONY: test-all
test-all: ## test, with the long end-to-end tests and cargo-deny
	@$(PYTHON) dev/stages.py test-all

.PHONY: bench
bench: ## how fast it is
	@echo "make bench: not there yet: the measurements come with a later step" >&2; exit 1

.PHONY: token
token: ## a token for the local API: make token tenant=acme
	@$(PYTHON) dev/run.py token '$(subst ','\'',$(tenant))'

.PHONY: migrate
migrate: ## bring the schema up to date, in DATABASE_URL or the local database
	@$(PYTHON) dev/run.py migrate up

.PHONY: deploy
deploy: ## to AWS
	@echo "make deploy: not there yet: the Lambda template comes next" >&2; exit 1

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\): ## /  make \1\t/p' $(firstword $(MAKEFILE_LIST))

include dev/seed-commands.mk
