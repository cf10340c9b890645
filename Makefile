# Shortcuts for the npm scripts; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help check test test-unit test-integration format demo tour

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: ## types, lint, format, unused code, unit tests
	@npm run --silent check

test: ## every test; installs redis-server, kubectl and Chromium where it may
	@npm test

test-unit: ## unit tests only: nothing to install
	@npm run --silent test:unit

test-integration: ## through HTTP, with a real Redis and a real identity provider
	@npm run --silent test:integration

format: ## rewrite the sources in the project's format
	@npm run --silent format

demo: ## the whole thing on this machine: identity provider, cluster, server
	@npm run --silent demo

tour: ## the demo tells and checks its own story, then ends
	@npm run --silent demo -- --tour
