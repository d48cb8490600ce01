# The commands of the project; `make help` lists them.
PYTHON ?= python3
VENV := .venv
LOCK := $(if $(shell nvidia-smi -L 2>/dev/null),requirements-gpu.lock,requirements.lock)
READY := $(VENV)/.ready-$(basename $(LOCK))
FERLIB := $(VENV)/bin/ferlib

# Compiled files spare each of the many processes of a build or a test to compile the library anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup report report-quick report-full test test-slow mutants reproduce format lab lock clean
.DEFAULT_GOAL := help

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

report: $(READY) ## build reports/report.html and reports/report.pdf, reusing finished results
	@$(FERLIB) report

report-quick: $(READY) ## train everything afresh at small scale (minutes on 2 cores) into reports/quick/
	@$(FERLIB) report --profile quick --fresh

report-full: $(READY) ## train everything afresh at full scale (resumes if stopped)
	@$(FERLIB) report --profile full

test: $(READY) ## lint and tests, offline
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	@$(VENV)/bin/python -m pytest -n auto --dist worksteal

test-slow: $(READY) ## all tests, also those that take longer: kills, damaged files, two whole reports
	@$(VENV)/bin/coverage erase
	@$(VENV)/bin/coverage run -m pytest  # in one process: workers that are slow to end lose what they counted
	@FERLIB_TRUST=reports/record/trust.csv $(VENV)/bin/coverage run -m pytest -m slow --durations 20
	@$(VENV)/bin/coverage combine -q && $(VENV)/bin/python tests/trust.py reports/record/trust.csv

mutants: $(READY) ## put small errors into five modules, and count what tests notice (needs mutmut, an hour)
	@PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(VENV)/bin/mutmut run --max-children 1
	@$(VENV)/bin/mutmut results --all true | $(VENV)/bin/python tests/survivors.py reports/record/trust.csv

reproduce: $(READY) ## recompute the figures of record and chapters, and say which are the same
	@$(FERLIB) reproduce

format: $(READY) ## format code and notebooks, mend what the linter can
	@$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

lab: $(READY) ## open the notebooks in JupyterLab
	@$(VENV)/bin/jupyter lab notebooks

setup: $(READY) ## build .venv from the lock and install ferlib in it

$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "ferlib needs Python 3.11 to 3.13, but $(PYTHON) is $$($(PYTHON) -V 2>&1); run: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) from $(LOCK) (once, a few minutes)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar on -q -r $(LOCK)
	@$(VENV)/bin/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

lock: ## resolve both lock files anew (needs uv)
	@for flavour in cpu gpu; do \
	  uv pip compile -q pyproject.toml --universal --python-version 3.11.2 \
	    --extra report --extra $$flavour --extra tune --extra cluster --extra test \
	    --no-emit-index-url --no-annotate --no-header --generate-hashes \
	    -o requirements$$([ $$flavour = gpu ] && echo -gpu).lock || exit 1; done

clean: ## remove the environment, runs and executed notebooks (not the record, not the data)
	rm -rf $(VENV) runs reports/executed reports/quick
