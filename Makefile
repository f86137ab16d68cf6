# The short ways. `labs` and the tools called below do the work; nothing here needs root.
PYTHON ?= python3
LABS = .venv/bin/labs
PYTEST = .venv/bin/python -m pytest -p no:cacheprovider
RESULTS = test-results
STAGE = .ci/stage
# One make after another: stages share the machine's few cores, and a cluster's times would suffer.
STAGES = $(MAKE) --keep-going --no-print-directory

# Which Debian `make vm` boots.
DEBIAN ?= 12
VM = .venv/bin/python -m tests.vm

.PHONY: env env-dev env-ci up down bench build test vm ci lint format proto raft-seeds
.PHONY: test-unit test-content test-lab ci-lint ci-labs ci-proofs ci-cluster ci-user ci-subids ci-browser ci-kind ci-conformance

env: ## the environment alone (.venv)
	@$(PYTHON) labsupport/bootstrap.py

env-dev:
	@$(PYTHON) labsupport/bootstrap.py --group dev

env-ci:
	@$(PYTHON) labsupport/bootstrap.py --group dev --group browser

up: env ## the cluster, and JupyterLab on the first lab
	@$(LABS) notebook 00

down: env ## end the cluster
	@$(LABS) down

bench: env ## measure the cluster on this machine
	@$(LABS) bench cluster

build: env ## generate the notebooks from labs/source
	@$(LABS) build

test: env-dev ## unit tests, the labs' offline tests, lab 00 on a cluster
	@$(STAGES) test-unit test-content test-lab

# How many seeds for each size of cluster; a run takes a quarter of a second of one core.
RAFT_SEEDS ?= 200

raft-seeds: env-dev ## Raft in many more simulated storms than the tests' few (RAFT_SEEDS=200)
	@RAFT_SEEDS=$(RAFT_SEEDS) $(PYTEST) -q tests/quorum/raft/test_simulation.py

vm: env-dev ## a stock Debian (DEBIAN=12 or 13) in a virtual machine: make up and lab 00 there, as an ordinary user
	@$(VM) --debian $(DEBIAN)

ci: env-ci ## everything else that CI runs
	@$(STAGES) ci-lint ci-labs ci-proofs ci-cluster ci-user ci-subids ci-browser ci-kind ci-conformance

test-unit:
	@$(STAGE) unit $(PYTEST) tests --ignore=tests/content --ignore=tests/on_cluster --ignore=tests/on_kind --ignore=tests/browser

test-content:
	@$(STAGE) content $(PYTEST) tests/content -m "not on_cluster"

test-lab:
	@$(STAGE) lab-00 $(PYTEST) tests/content -m "on_cluster and not other_labs"

ci-lint:
	@$(STAGE) lint $(MAKE) --keep-going --no-print-directory lint

# Without their own worker each, cells of one notebook would run in several kernels.
NOTEBOOKS = -p tests.content.notebooks_plugin --nbval-lax --nbval-current-env --nbval-cell-timeout 120 \
	-n 2 --dist loadfile

ci-labs: ## both notebooks of every lab beyond lab 00, side by side on one cluster
	@$(STAGE) labs $(PYTEST) $(NOTEBOOKS) labs --ignore-glob='*/00-*.ipynb' --ignore=labs/template

ci-proofs: ## the exercises of changed labs and a tenth of the others, with mutants
	@$(STAGE) proofs $(PYTEST) tests/content -m other_labs

ci-cluster:
	@$(STAGE) on-cluster $(PYTEST) tests/on_cluster

ci-user: ## once more as an ordinary user, where this one is root
	@[ "$$(id -u)" -ne 0 ] || $(STAGE) ordinary-user .ci/as-user $(RESULTS)/ordinary-user.xml

ci-subids: ## a few tests as an ordinary user who has subordinate ids (as root; skipped where newuidmap is missing)
	@[ "$$(id -u)" -ne 0 ] || $(STAGE) subordinate-ids .ci/as-user --subordinate-ids $(RESULTS)/subordinate-ids.xml

ci-browser:
	@$(STAGE) browser $(PYTEST) tests/browser

ci-kind: ## the kind back end, in a Docker of its own that reaches nothing (as root; skipped where it cannot run)
	@$(STAGE) kind .venv/bin/python .ci/kind-tests $(PYTEST) tests/on_kind

ci-conformance: ## some of Kubernetes' own tests (skipped where its suite is not in the cache)
	@$(STAGE) conformance .venv/bin/python .ci/conformance-tests $(RESULTS)/conformance.xml

lint: lint-ruff lint-format lint-types lint-imports lint-spelling lint-build ## all static checks

.PHONY: lint-ruff lint-format lint-types lint-imports lint-spelling lint-build
lint-ruff:
	.venv/bin/ruff check .

lint-format:
	.venv/bin/ruff format --check .

lint-types:
	.venv/bin/mypy

lint-imports:
	.venv/bin/lint-imports --no-cache

lint-spelling:
	git ls-files -z | xargs -0 .venv/bin/codespell

lint-build:
	$(LABS) build --check

# The staging modules of Kubernetes 1.N.P are released as v0.N.P.
CRI_MODULE = k8s.io/cri-api@v0.$(shell sed -n 's/^kubernetes = "1\.\(.*\)"$$/\1/p' clusters/versions.toml)
CRI = labsupport/cluster/embedded/runtime/cri

proto: env-dev ## generate the messages of the Container Runtime Interface
	go mod download $(CRI_MODULE)
	proto=$$(go env GOMODCACHE)/$(CRI_MODULE)/pkg/apis/runtime/v1 && \
	.venv/bin/python -m grpc_tools.protoc -I "$$proto" --python_out=$(CRI) --pyi_out=$(CRI) "$$proto/api.proto"

format:
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .
