# Every target does its own set-up; a second call finds nothing to do. Details: tools/setup.sh, CONTRIBUTING.md.

PORT ?= 8501
PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test check bench

help: ## Print this list
	@sed -n 's/^\([a-z]*\): ## */\1|/p' Makefile | while IFS='|' read -r target words; do printf 'make %-7s %s\n' "$$target" "$$words"; done

run: ## Start the app on 127.0.0.1:8501 (PORT=8600 make run for another port)
	@tools/setup.sh requirements.txt
	@echo "Starting the app: http://127.0.0.1:$(PORT) (stop with Ctrl-C)"
	@exec $(PYTHON) -m streamlit run app.py --server.port $(PORT)

test: ## Run all tests, those with a browser and with servers included
	@tools/setup.sh requirements-dev.txt
	@$(PYTHON) tools/browser.py
	@$(PYTHON) tools/servers.py
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: ## Check format, lint, types and floors, in seconds
	@tools/setup.sh requirements-dev.txt
	@echo "Format ..." && $(PYTHON) -m ruff format --check .
	@echo "Lint ..." && $(PYTHON) -m ruff check .
	@echo "Types ..." && $(PYTHON) -m mypy
	@echo "Floors ..." && .venv/bin/lint-imports

bench: ## Measure speed and memory as ratios within one run
	@tools/setup.sh requirements-dev.txt
	@$(PYTHON) -m tests.bench
