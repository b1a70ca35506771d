"""python -m benchmarks.readers NAME JSON   one reader, one run; the last line is its JSON."""

from __future__ import annotations

import gc
import importlib
import json
import resource
import sys

from benchmarks.readers.job import Job


def main() -> None:
    name, given = sys.argv[1:]
    reader = importlib.import_module(f"benchmarks.readers.{name}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    gc.freeze()
    job = Job(**json.loads(given))
    print(json.dumps(job.judge(reader.read(job))), flush=True)


if __name__ == "__main__":
    main()
