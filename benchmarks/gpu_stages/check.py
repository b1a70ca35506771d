"""What this machine has and lacks for benchmarks.gpu, and how to carry the rest there as wheels.

Also the few things of torch, Triton and the driver that every stage rests on, each tried once.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import shutil
from collections.abc import Callable
from importlib.util import find_spec

import torch

from benchmarks.gpu_stages import card

# import name -> distribution; what every stage needs, then what only the stages named need.
NEEDED = {
    "every stage": {
        "numpy": "numpy", "safetensors": "safetensors", "tokenizers": "tokenizers",
        "jinja2": "jinja2", "pydantic": "pydantic", "pydantic_core": "pydantic_core",
        "annotated_types": "annotated-types", "typing_inspection": "typing-inspection",
        "prometheus_client": "prometheus-client", "llguidance": "llguidance", "triton": "triton",
        "psutil": "psutil",
    },
    "transformers": {"transformers": "transformers"},
    "serve": {
        "starlette": "starlette", "anyio": "anyio", "uvicorn": "uvicorn", "h11": "h11",
        "httptools": "httptools", "uvloop": "uvloop", "multipart": "python-multipart",
        "PIL": "pillow", "locust": "locust", "gevent": "gevent",
        "greenlet": "greenlet", "zope.event": "zope-event", "zope.interface": "zope-interface",
        "geventhttpclient": "geventhttpclient", "flask": "flask", "flask_cors": "flask-cors",
        "flask_login": "flask-login", "werkzeug": "werkzeug", "blinker": "blinker",
        "itsdangerous": "itsdangerous", "zmq": "pyzmq", "configargparse": "configargparse",
        "brotli": "brotli", "certifi": "certifi", "requests": "requests", "socketio":
        "python-socketio", "engineio": "python-engineio", "simple_websocket": "simple-websocket",
        "wsproto": "wsproto", "bidict": "bidict", "websocket": "websocket-client",
        "click": "click", "rich": "rich", "scipy": "scipy",
        "pyarrow": "pyarrow", "numba": "numba", "matplotlib": "matplotlib", "msgpack": "msgpack",
        "ruamel.yaml": "ruamel.yaml", "jsonschema": "jsonschema", "referencing": "referencing",
        "jsonschema_specifications": "jsonschema-specifications", "rpds": "rpds-py",
        "attrs": "attrs",
    },
}  # fmt: skip
# Older ones are there, are imported, and fail a stage later: llguidance before 1.7 takes one end of
# an answer only.
AT_LEAST = {"llguidance": "1.7", "triton": "3.6"}
# What wheels are tagged with: an installer takes a name only literally.
GLIBC_MINORS = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35, 39)


def about() -> dict[str, str]:
    """The card, and the versions a figure depends on."""
    has_gpu = torch.cuda.is_available()
    at_rest = card.state() if has_gpu else {}
    fixed = {name: at_rest[name] for name in ("driver", "power_limit_w") if name in at_rest}
    return {
        "gpu": torch.cuda.get_device_name() if has_gpu else "none",
        "gpu_memory_gib": f"{torch.cuda.mem_get_info()[1] / 2**30:.0f}" if has_gpu else "0",
        "python": platform.python_version(), "torch": torch.__version__,
        "cuda": torch.version.cuda or "none", "triton": _version("triton"),
        "transformers": _version("transformers"), "numpy": _version("numpy"),
        "cpus": str(os.cpu_count()), **fixed,
    }  # fmt: skip


def missing() -> dict[str, list[str]]:
    """Distributions that are not here or too old, by who needs them, as an installer is asked for
    them; nobody is left out."""
    found = {
        stage: [_asked(dist) for name, dist in names.items() if not _suffices(name, dist)]
        for stage, names in NEEDED.items()
    }
    return {stage: names for stage, names in found.items() if names}


def probes() -> dict[str, str]:
    """What was tried, and what came of it: "ok", or what was raised."""
    tried: dict[str, Callable[[], None]] = {"a Triton kernel": _try_kernel}
    if torch.cuda.is_available():
        tried |= {
            "a captured graph, timed by events": _try_graph,
            "pinned memory without waiting": _try_copy,
            "a bf16 product": _try_product,
        }
    found = {}
    for name, probe in tried.items():
        try:
            probe()
            found[name] = "ok"
        except Exception as error:
            found[name] = f"FAILS: {type(error).__name__}: {error}"[:400]
    if torch.cuda.is_available() and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        found["a C compiler"] = "FAILS: none found, and Triton needs one to launch kernels"
    return found


def _try_kernel() -> None:
    from engine_under_test import kernels

    x = torch.randn(3, 64, device=_device())
    expected = torch.nn.functional.silu(x[:, :32]) * x[:, 32:]
    torch.testing.assert_close(kernels.silu_mul(x), expected)


def _try_graph() -> None:
    from engine_under_test.graphs import CudaCapture

    x = torch.zeros(8, device=_device())

    def work() -> None:
        x.add_(1)

    replay = CudaCapture()(work)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    x.zero_()
    replay()
    end.record()
    torch.cuda.synchronize()
    assert x.tolist() == [1.0] * 8, x
    assert begin.elapsed_time(end) > 0


def _try_copy() -> None:
    import numpy as np

    from engine_under_test.device import to_device

    assert to_device(np.arange(5), _device()).tolist() == [0, 1, 2, 3, 4]


def _try_product() -> None:
    a = torch.eye(64, device=_device(), dtype=torch.bfloat16)
    assert torch.equal(a @ a, a)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def report() -> tuple[list[str], bool]:
    """For a terminal; and whether every stage can run."""
    lines = [f"{name}: {value}" for name, value in about().items()]
    tried, lacking = probes(), missing()
    lines += ["", *(f"{name}: {came}" for name, came in tried.items())]
    has_gpu = torch.cuda.is_available()
    is_fit = has_gpu and not lacking and all(came == "ok" for came in tried.values())
    if not has_gpu:
        lines += [
            "",
            f"missing: a GPU; torch {torch.__version__} sees none, so only --rehearse runs",
        ]
    if not lacking:
        return [*lines, "", "no package is missing"], is_fit
    every = shlex.join(sorted({name for names in lacking.values() for name in names}))
    lines += ["", *(f"missing for {stage}: {', '.join(names)}" for stage, names in lacking.items())]
    version = ".".join(platform.python_version_tuple()[:2])
    lines += [
        "",
        "where packages can be fetched (--no-deps: the list names what they need in turn):",
        f"  python3 -m pip download --no-deps --only-binary=:all: --python-version {version} "
        f"--implementation cp {_platforms(platform.libc_ver()[1])} -d wheels {every}",
        "here, with that folder:",
        "  python3 -m pip install --no-index --no-deps --target site wheels/*.whl",
        "  export PYTHONPATH=$PWD/site:$PWD",
    ]
    return lines, is_fit


def _platforms(glibc: str) -> str:
    """Arguments that let an installer elsewhere take every wheel that runs with this glibc; one
    that names fewer gets an older release without a word."""
    newest = int(glibc.split(".")[1]) if glibc.startswith("2.") else 28
    tags = [f"manylinux_2_{n}_x86_64" for n in GLIBC_MINORS[::-1] if n <= newest]
    return " ".join(f"--platform {tag}" for tag in [*tags, "manylinux2014_x86_64"])


def _asked(dist: str) -> str:
    return f"{dist}>={AT_LEAST[dist]}" if dist in AT_LEAST else dist


def _suffices(name: str, dist: str) -> bool:
    if not _is_there(name):
        return False
    return dist not in AT_LEAST or _numbers(_version(dist)) >= _numbers(AT_LEAST[dist])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:2])


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def _version(name: str) -> str:
    return importlib.metadata.version(name) if _is_there(name) else "none"
