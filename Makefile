# The commands that matter. `make help` lists them; the others are in dev/seed-commands.mk.

MAKEFLAGS += --no-print-directory
PYTHON ?= python3
.DEFAULT_GOAL := help

.PHONY: run
run: ## CronMon on http://127.0.0.1:8000, with a database of its own; ctrl-C ends it
	@$(PYTHON) dev/run.py serve

.PHONY: watch
watch: ## the Lambda functions by cargo lambda watch, rebuilt as you edit, with a local SQS; late-check every 10 s: make watch seconds=60
	@$(PYTHON) dev/watch.py watch '$(subst ','\'',$(seconds))'

.PHONY: sam
sam: ## the same in containers, by sam local; needs Docker
	@$(PYTHON) dev/watch.py sam '$(subst ','\'',$(seconds))'

.PHONY: check
check: ## format, clippy, unit tests, forbidden crates
	@$(PYTHON) dev/stages.py check

.PHONY: test
test: ## check, the template, and the end-to-end tests
	@$(PYTHON) dev/stages.py test

.PHONY: test-all
test-all: ## test, with the functions as they are shipped, the long end-to-end tests, tokens from Keycloak, schemathesis, sam local and cargo-deny
	@$(PYTHON) dev/stages.py test-all

.PHONY: soak
soak: ## 100,000 random histories, others each time, on the database and the model: hours
	@$(PYTHON) dev/stages.py soak

.PHONY: bench
bench: bench-cold bench-ping bench-lateness bench-api ## all measurements, one after another

.PHONY: bench-cold
bench-cold: ## how fast the functions start
	@$(PYTHON) dev/bench_cold.py

.PHONY: bench-ping
bench-ping: ## how many pings a second, beside the bare writes by pgbench
	@$(PYTHON) dev/bench_ping.py

.PHONY: bench-lateness
bench-lateness: ## what lateness costs among 10,000 to 1,000,000 monitors: make bench-lateness sizes=10000 for a quick look
	@$(PYTHON) dev/bench_lateness.py '$(subst ','\'',$(sizes))'

.PHONY: bench-api
bench-api: ## what the lists of the API cost, with 1,000 monitors of 100 jobs; fails above 2 statements or 20 ms
	@$(PYTHON) dev/bench_api.py

.PHONY: token
token: ## a token for the local API: make token tenant=acme
	@$(PYTHON) dev/run.py token '$(subst ','\'',$(tenant))'

.PHONY: key
key: ## an API key, which needs no issuer of tokens: make key tenant=acme scope=manage; with env=prod one of that stack
	@$(PYTHON) dev/run.py key '$(subst ','\'',$(tenant))' '$(subst ','\'',$(scope))' '$(subst ','\'',$(env))'

.PHONY: keycloak
keycloak: ## a Keycloak with the realm of keycloak/realm.json, for make run; needs Java 17 and Maven; ctrl-C ends it
	@$(PYTHON) dev/keycloak.py

.PHONY: migrate
migrate: ## bring the schema up to date, in DATABASE_URL or the local database
	@$(PYTHON) dev/run.py migrate up

.PHONY: import
import: ## copy an original CronMon's database into DATABASE_URL or the local one: make import FROM=postgres://...
	@FROM='$(subst ','\'',$(FROM))' $(PYTHON) dev/run.py import

.PHONY: seed
seed: ## replace all data of a tenant in the local database by test data, every state at a glance: make seed tenant=acme
	@$(PYTHON) dev/run.py seed '$(subst ','\'',$(tenant))'

.PHONY: deploy
deploy: ## build for AWS and deploy to the stack of samconfig.toml: make deploy env=prod; dev without
	@$(PYTHON) dev/deploy.py '$(subst ','\'',$(env))'

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\): ## /  make \1\t/p' $(firstword $(MAKEFILE_LIST))

include dev/seed-commands.mk
