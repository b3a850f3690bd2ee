# Two commands do everything on a fresh machine: `make report` and `make test`. Both make .venv when it is absent.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: report test kernels matrix lint bounds notebook dist clean

# Without a C++ compiler PyTorch trains by its own operations.
report: .venv/ready
	-$(BIN)/python -m impls.pytorch.cpp_batch_norm
	$(BIN)/bnproof report

# A thread each: two processes whose threads wait for each other take three times as long. What Python compiles is kept,
# whatever the environment says (images of containers often say no): hundreds of processes import the same files.
test: .venv/ready
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 8

# Which lines and branches of reference and judge no quick test reaches.
coverage: .venv/ready
	$(BIN)/pip install --quiet 'coverage>=7.6'
	$(BIN)/python -m tests.experiments.coverage_of --quick

# The C++ kernels of our PyTorch layer and its training, for this processor: a minute, once for each version of torch.
kernels: .venv/ready
	$(BIN)/python -m impls.pytorch.cpp_batch_norm

# Every library that pip can get, each in an environment of its own, judged and compared: reports/published/matrix.
matrix: .venv/ready
	$(BIN)/bnproof matrix

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The table of 300,000 cases behind the error bounds; a quarter of an hour.
bounds: .venv/ready
	$(BIN)/python -m tests.experiments.bounds --cases 300000 --out reference/error_bounds_table.md

# The lesson's notebook, run by a kernel.
notebook: .venv/ready
	$(BIN)/pip install --quiet --editable '.[notebook]'
	LESSON_IMAGES=512 $(BIN)/pytest -n 0 --nbmake -W default reports/lesson/lesson.ipynb

# Wheel, source distribution and bill of materials, looked into: dist/.
dist: .venv/ready
	$(BIN)/pip install --quiet --editable '.[release]'
	$(BIN)/python .ci/release.py

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch .venv/ready

clean:
	rm -rf .venv build dist *.egg-info
