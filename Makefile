# Each target makes what it needs; `make demo` and `make test` are the only two commands to know.
PYTHON ?= python3
VENV := .venv
RUNTIME_VENV := .venv-runtime
BENCH_VENV := .venv-bench
OLDEST_VENV := .venv-oldest
HASHES_VENV := .venv-hashes
GPU_VENV := .venv-gpu
# Of an environment with ONNX Runtime's GPU build, TensorRT or both; without them all is skipped.
GPU_PYTHON ?= $(RUNTIME_VENV)/bin/python
ORT_FOLDER := import onnxruntime, pathlib; \
	print(pathlib.Path(onnxruntime.__file__).parent / 'capi')
# Tests that have passed in the runtime's environment and need not run in the other one.
PASSED := $(RUNTIME_VENV)/passed
PIP := -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Two checks at a time; Make before 4.0, which macOS has, would mix up what they print.
ifeq ($(MAKECMDGOALS)$(filter output-sync,$(.FEATURES)),testoutput-sync)
MAKEFLAGS += -j2 --output-sync=target
endif

.PHONY: demo test test-runtime test-gpu test-training test-export test-rest oldest hashes check fmt bench web cpp cpp-bench gpu-check gpu-run clean

demo: $(RUNTIME_VENV)/.installed  ## a picture of the repository to its sound, with the bundled model
	$(RUNTIME_VENV)/bin/echoes-rt generate docs/demo/dog.jpg out.wav --seed 2

test: check test-runtime test-gpu test-training test-export test-rest  ## every check, two at a time

test-runtime: $(RUNTIME_VENV)/.installed
	rm -f $(PASSED)
	$(RUNTIME_VENV)/bin/python -m pytest -q --passed $(PASSED) \
		tests/format tests/runtime tests/test_import_rules.py

ifeq ($(shell uname -sm),Linux x86_64)
test-gpu: $(GPU_VENV)/.installed
	$(GPU_VENV)/bin/python -m pytest -q tests/runtime/test_backends.py -k gpu_build
	$(GPU_VENV)/bin/python -m pytest -q tests/gpu/test_stand_ins.py
else
test-gpu:
endif

test-training: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -q tests/training tests/parity

test-export: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -q tests/export

test-rest: $(VENV)/.installed test-runtime
	$(VENV)/bin/python -m pytest -q --passed $(PASSED) \
		--ignore tests/training --ignore tests/parity --ignore tests/export tests

# Two of these run side by side, so each has one core.
test-training test-export test-rest: export OMP_NUM_THREADS = 1

oldest:  ## the runtime's tests with the oldest versions that pyproject.toml allows
	$(PYTHON) -m venv --clear $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python tests/versions.py oldest > $(OLDEST_VENV)/constraints.txt
	$(OLDEST_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c $(OLDEST_VENV)/constraints.txt -e ".[cpu,video,heic]" pytest hypothesis
	$(OLDEST_VENV)/bin/python -m pytest -q tests/format tests/runtime tests/test_import_rules.py

hashes:  ## the runtime with nothing but the files whose hashes are in hashes.txt
	$(PYTHON) -m venv --clear $(HASHES_VENV)
	$(HASHES_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes --only-binary :all: -r hashes.txt
	$(HASHES_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(HASHES_VENV)/bin/echoes-rt doctor

check: $(VENV)/.installed  ## style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

fmt: $(VENV)/.installed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(BENCH_VENV)/.installed  ## other engines against ours, on an idle machine; writes bench-report/
	$(BENCH_VENV)/bin/python -m bench $(BENCH) > /dev/null

gpu-check: $(RUNTIME_VENV)/.installed  ## what an owner of a GPU runs and sends back: docs/gpu.md
	$(GPU_PYTHON) -m echoes_rt.nvidia.gpu_check $(GPU_CHECK)

gpu-run: $(VENV)/.installed  ## the prepared run on a borrowed GPU, all of it here: bench/gpu_run
	$(VENV)/bin/python $(PIP) -e ".[teacher]"
	$(VENV)/bin/python -m bench.gpu_run.rehearse build/gpu_run

web:  ## the page that echoes-rt demo serves; needs Node.js 20.19 or newer
	cd runtime/web && npm ci --no-audit --no-fund && npm run build

cpp: $(RUNTIME_VENV)/.installed  ## the C and C++ library and its tests; needs CMake, Ninja, a compiler
	cd cpp_bindings && cmake --preset dev && cmake --build --preset dev
	cd cpp_bindings && ECHOES_RT_ORT="$$(../$(RUNTIME_VENV)/bin/python -c "$(ORT_FOLDER)")" \
		ctest --preset dev

cpp-bench: cpp  ## what C and Python cost above ONNX Runtime's own runs: docs/embed.md
	PYTHONPATH=tests/cpp $(RUNTIME_VENV)/bin/python cpp_bindings/bench/overhead.py \
		cpp_bindings/build/dev $(BENCH)

# What a user of the runtime has: no torch, no onnx. pytest is all that is added.
$(RUNTIME_VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(RUNTIME_VENV)
	$(RUNTIME_VENV)/bin/python $(PIP) -e ".[cpu]" pytest hypothesis
	touch $@

# ONNX Runtime's GPU build cannot live beside the other one.
$(GPU_VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(GPU_VENV)
	$(GPU_VENV)/bin/python $(PIP) -e ".[gpu]" pytest hypothesis
	touch $@

# PyPI's torch for Linux brings CUDA libraries of several GB; set PIP_EXTRA_INDEX_URL to PyTorch's
# CPU index to avoid them.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) -e ".[cpu,training,export,dev,rtx]"
	touch $@

$(BENCH_VENV)/.installed: pyproject.toml constraints.txt bench/requirements.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python $(PIP) -e ".[cpu,training,export]" -r bench/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(RUNTIME_VENV) $(BENCH_VENV) $(GPU_VENV) $(OLDEST_VENV) \
		$(HASHES_VENV) out.wav
