# `make demo` and `make test` set everything up themselves; they need Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Without its bytecode, each of the hundreds of processes that the tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow test-matrix test-kills test-load coverage compat lint format docs bench bench-packing bench-start bench-steps bench-following bench-installing bench-scale bench-money bench-cost bench-verdict bench-image lock clean

demo: $(VENV)/installed ## the main job, end to end, on services on this machine, and a page of it; SCENARIO=completes, fails, gpu, async, cancel, matrix, report
	$(BIN)/python -m localcloud.demo $(SCENARIO)

# Most tests wait for other processes: with two workers for each core, a third of the time of two cores went unused.
WORKERS = $(shell expr 4 \* $$($(PYTHON) -c 'import os; print(min(3, os.cpu_count() or 1))'))

test: $(VENV)/installed ## the tests, all but the slow ones
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal $(PYTEST_ARGS)

test-slow: $(VENV)/installed ## what `make test` leaves out: long tests of what others prove in part
	$(BIN)/python -m pytest -m slow --numprocesses=$(WORKERS) --dist=worksteal $(PYTEST_ARGS)

test-matrix: $(VENV)/installed ## every call of a run x every fault that it may meet: days; MATRIX_IN_A_RUN=24 tries that many in each run, three hours
	$(BIN)/python -m pytest -m matrix --numprocesses=$(WORKERS) --dist=worksteal $(PYTEST_ARGS)

test-kills: $(VENV)/installed ## kill -9 of a random process at a random moment, SEEDS=100 times from FIRST_SEED=0: an hour
	$(BIN)/python -m pytest -m kills --numprocesses=$(WORKERS) --dist=worksteal $(PYTEST_ARGS)

test-load: $(VENV)/installed ## many launches, steps, lines, files, bytes: half an hour, one after the other
	$(BIN)/python -m pytest -m load $(PYTEST_ARGS)

coverage: $(VENV)/installed ## the tests, with coverage over all processes, which takes half as long again
	@# Coverage's data files come and go; a docker build of this tree must not meet them.
	folder=$$(mktemp -d); COVERAGE_FILE=$$folder/coverage $(BIN)/python -m pytest --numprocesses=$(WORKERS) \
	  --dist=worksteal --cov --cov-report=term:skip-covered; code=$$?; rm -r $$folder; exit $$code

# As pyproject.toml has them.
OLDEST_ZENML = $(shell sed -n 's|.*"zenml>=\([0-9.]*\)".*|\1|p' pyproject.toml).0
OLDEST_SDK = $(shell sed -n 's/.*"lightning-sdk>=\([0-9.]*\)".*/\1/p' pyproject.toml).1
COMPAT := .cache/compat
# `newest` is that on the package index, with the newest SDK: what nobody has tested yet.
ZENML ?= oldest
COMPAT_PACKAGES = $(if $(filter newest,$(ZENML)),--upgrade 'zenml[server]' lightning-sdk,\
  'zenml[server]==$(OLDEST_ZENML)' 'lightning-sdk==$(OLDEST_SDK)')

compat: $(VENV)/installed ## core and orchestrator with the oldest ZenML and SDK that are supported, in a throw-away environment; ZENML=newest
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(COMPAT)
	$(BIN)/uv pip sync --quiet --python $(COMPAT)/bin/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(COMPAT)/bin/python $(COMPAT_PACKAGES)
	$(BIN)/uv pip install --quiet --python $(COMPAT)/bin/python --no-deps --no-build-isolation --editable .
	$(COMPAT)/bin/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal tests/unit/test_stock.py \
	  tests/unit/test_zenml_internals.py tests/unit/test_flavor.py tests/integration/test_zenml_server.py tests/integration/test_controller.py tests/integration/test_controller_modes.py \
	  tests/integration/test_dynamic_controller.py tests/integration/test_orchestrator.py \
	  tests/integration/test_launcher.py tests/integration/test_job.py $(PYTEST_ARGS)

lint: $(VENV)/installed ## format, lint, types; workflows, image, shell
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/actionlint .github/workflows/*.yml tests/container/workflows/*.yml examples/*/.github/workflows/*.yml
	$(BIN)/zizmor --quiet --offline --no-progress .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml composite/action.yml composite/post/action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml tests/container/workflows/*.yml examples/*/.github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/hadolint Dockerfile
	$(BIN)/shellcheck --severity=warning .ci/run composite/install.sh src/localcloud/docker_base.sh src/localcloud/lightning/computer/keeper.sh

format: $(VENV)/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# mkdocs has an environment of its own: nothing else needs it.
DOCS := .cache/docs

docs: $(DOCS)/installed ## the pages of docs/ as a site, in .cache/site; a link that leads nowhere fails it
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --quiet --site-dir $(CURDIR)/.cache/site

$(DOCS)/installed: requirements/docs.txt $(VENV)/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(DOCS)
	$(BIN)/uv pip sync --quiet --python $(DOCS)/bin/python --require-hashes requirements/docs.txt
	touch $@

# One round tells whether the benchmark still works, five what it measures.
ROUNDS ?= 5
FILES ?= 20000
MEGABYTES ?= 280

bench: $(VENV)/installed ## our launch beside ZenML's stock Lightning orchestrator, on the same local cloud
	$(BIN)/python benchmarks/stock.py --rounds $(ROUNDS) $(if $(JSON),--json $(JSON))

bench-packing: $(VENV)/installed ## a repository becomes an archive, beside tar and zstd; FILES, MEGABYTES
	ZENML_LOGGING_VERBOSITY=ERROR $(BIN)/python benchmarks/packing.py --rounds $(ROUNDS) --files $(FILES) --megabytes $(MEGABYTES)

bench-start: $(VENV)/installed ## CPU time until the Action's first request to Lightning
	$(BIN)/python benchmarks/start.py --rounds $(ROUNDS)

# Steps side by side; a fifth of them one after the other.
WIDE ?= 20

bench-steps: $(VENV)/installed ## a trivial step in the studio beside the import of ZenML
	$(BIN)/python benchmarks/steps.py --rounds $(ROUNDS) --wide $(WIDE)

# For how long a launch that is followed goes on.
SECONDS ?= 120

bench-following: $(VENV)/installed ## calls a minute and delay of what is followed
	$(BIN)/python benchmarks/following.py --seconds $(SECONDS) $(if $(JSON),--json $(JSON))

bench-installing: $(VENV)/installed ## what a studio installs, beside the user's own install
	$(BIN)/python benchmarks/installing.py --rounds $(ROUNDS) $(if $(JSON),--json $(JSON))

# Numbers of steps, of launches at once, of megabytes of code.
STEPS ?= 1 10 30 100 300
LAUNCHES ?= 1 5 20 50
CODE ?= 1 30 300 2000

bench-scale: $(VENV)/installed ## overhead by steps, launches and size of code; STEPS, LAUNCHES, CODE
	$(BIN)/python benchmarks/scale.py --steps $(STEPS) --launches $(LAUNCHES) --megabytes $(CODE) \
	  $(if $(SVG),--svg $(SVG)) $(if $(JSON),--json $(JSON))

bench-money: $(VENV)/installed ## billed seconds of a GPU for a step, beside the step's own
	$(BIN)/python benchmarks/money.py --rounds $(ROUNDS) $(if $(JSON),--json $(JSON))

# Random launches, and from how many to how many seconds their jobs take.
SCHEDULES ?= 40
WORK ?= 20 60
bench-cost: $(VENV)/installed ## what is told of a launch's cost, beside the bill
	$(BIN)/python benchmarks/cost.py --schedules $(SCHEDULES) --work $(WORK) $(if $(JSON),--json $(JSON))

# Pull requests that are drawn for each figure.
PULLS ?= 5000

bench-verdict: $(VENV)/installed ## how often equal runs are called different, and a drop is noticed; PULLS
	$(BIN)/python benchmarks/verdict.py --pulls $(PULLS)

bench-image: $(VENV)/installed ## size and start-up of the Action's image
	$(BIN)/python benchmarks/image.py

composite/action.yml: action.yml composite/write.py ## the Action without Docker: inputs and outputs as those of action.yml
	$(PYTHON) composite/write.py

# The locks; index hosts stay out of them.
lock: $(VENV)/installed
	for name in dev runtime bootstrap build docs; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    $$( [ $$name = dev ] || echo --constraint requirements/dev.txt ) requirements/$$name.in --output-file requirements/$$name.txt; \
	done
	$(BIN)/python requirements/studio.py

$(VENV)/installed: requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@# What is synced has uv and no pip: that is only there for the first time.
	test -x $(BIN)/uv || { $(PYTHON) -m venv --clear $(VENV) && $(BIN)/python -m pip --disable-pip-version-check \
	  install --quiet --require-hashes -r requirements/bootstrap.txt; }
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf $(VENV) .cache .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
