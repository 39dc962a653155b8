# Short names for the usual commands; the build itself is CMake (CMakePresets.json).
PRESET ?= dev
JOBS   ?= $(shell nproc)

.PHONY: all build test demo bench bench-quick bench-build style format deps clean
all: build

build/$(PRESET)/build.ninja:
	cmake --preset $(PRESET)

build: build/$(PRESET)/build.ninja
	cmake --build --preset $(PRESET) -j $(JOBS)

deps:
	scripts/install-deps.sh

test: deps
	$(MAKE) build PRESET=$(PRESET)
	ctest --preset $(PRESET) -j $(JOBS) -LE tidy

# Release code, as a user would run it.
demo: deps
	@mkdir -p build
	@echo "Building build/release; the log is build/demo-build.log ..."
	@$(MAKE) build PRESET=release >build/demo-build.log 2>&1 || \
	  { tail -n 30 build/demo-build.log; exit 1; }
	@scripts/demo.sh build/release

# Ours and the peers, side by side. About an hour; bench-quick some minutes. As root: two hosts are
# network namespaces.
bench bench-quick: bench-build
	benchmarks/bench.py $(if $(findstring quick,$@),quick --budget 75,full) $(BENCH_FLAGS)

bench-build:
	scripts/install-deps.sh --bench
	cmake --preset release -DSNAP_BENCH_PEERS=ON
	cmake --build --preset release -j $(JOBS) --target bench-programs

style: build/$(PRESET)/build.ninja
	ctest --preset $(PRESET) -L style

format:
	tools/check_format.py --fix

clean:
	cmake -E rm -rf build
