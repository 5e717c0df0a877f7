# The commands of the container-based CronMon that this one grew from: each does what it did, or says what replaces it.

.PHONY: run-debug
run-debug:
	@$(PYTHON) dev/run.py serve --debug

.PHONY: run-monitor run-monitor-debug
run-monitor run-monitor-debug:
	@echo "$@: make run also looks for late jobs, every second; no second process is needed"

.PHONY: lint unit-test integration-tests test-coverage
lint unit-test integration-tests test-coverage:
	@$(PYTHON) dev/stages.py $@

.PHONY: migration
migration:
	@$(PYTHON) dev/migration.py '$(subst ','\'',$(name))'

.PHONY: migrate-revert
migrate-revert:
	@$(PYTHON) dev/run.py migrate revert

.PHONY: migrate-redo
migrate-redo:
	@$(PYTHON) dev/run.py migrate redo

.PHONY: shell
shell:
	@$(PYTHON) dev/postgres.py psql postgres

.PHONY: install
install:
	@echo "install: nothing to install; make run sets up what it needs"

.PHONY: build-containers
build-containers:
	@echo "build-containers: there are no containers; make run builds and runs CronMon on this machine"

.PHONY: delete-postgres-volume
delete-postgres-volume:
	@$(PYTHON) dev/postgres.py delete test-postgres
	@$(PYTHON) dev/postgres.py delete postgres
