# `make demo` does the library's main job, `make test` passes its tests, `make fuzz` tries twenty times as much odd input,
# `make integration` runs benchmarks, notebooks and configs in their smoke mode, `make docs` builds the website in
# results/docs; each sets up what it needs, once.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
TESTS := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q -n 2 --dist worksteal

.PHONY: demo test fuzz integration docs lint bench mutants clean

demo: $(STAMP)
	$(VENV)/bin/posterior demo

test: $(STAMP)
	$(TESTS)

fuzz: $(STAMP)
	FUZZ=$${FUZZ:-20} $(VENV)/bin/python -m pytest -q tests/fuzz

integration: $(STAMP)
	$(TESTS) -m integration

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

BENCHES := exactness.linear_gaussian exactness.gaussian_mixture exactness.nonlinear exactness.digits \
	exactness.kinetic_calibration exactness.latent exactness.levy exactness.guided exactness.calibration \
	exactness.reverse_diffusion exactness.photographs exactness.photograph_coverage exactness.denoiser \
	exactness.overhead exactness.scale exactness.scale_guided exactness.modes exactness.verdicts exactness.trust \
	flows.accuracy flows.digits talk.unknown talk.misspecified generators.comparison jobs.kills jobs.scaling mri.denoiser mri.shift \
	mri.calibration fairness.gaps fairness.gender fairness.conformal fairness.faces fairness.learned talk.layerwise \
	talk.phase_retrieval talk.robust talk.theory talk.anomaly talk.comparison talk.compression talk.problems \
	talk.semantic talk.separation exactness.overview

bench: $(STAMP)
	$(VENV)/bin/python -m pytest -q -m slow
	@set -e; for name in $(BENCHES); do $(VENV)/bin/python -m benchmarks.$$name $(BENCH_FLAGS); done

mutants: $(STAMP)
	$(VENV)/bin/python -m tests.mutants $(MUTANT_FLAGS)

$(STAMP): pyproject.toml
	@echo "installing into $(VENV) (PyTorch is large: a few minutes, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "posterior needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) results
