"""What this machine has and lacks for benchmarks.gpu, and how to carry the rest there as wheels."""

from __future__ import annotations

import importlib.metadata
import platform
from importlib.util import find_spec

import torch

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


def about() -> dict[str, str]:
    """The card, and the versions a figure depends on."""
    has_gpu = torch.cuda.is_available()
    return {
        "gpu": torch.cuda.get_device_name() if has_gpu else "none",
        "gpu_memory_gib": f"{torch.cuda.mem_get_info()[1] / 2**30:.0f}" if has_gpu else "0",
        "python": platform.python_version(), "torch": torch.__version__,
        "cuda": torch.version.cuda or "none", "triton": _version("triton"),
        "transformers": _version("transformers"),
    }  # fmt: skip


def missing() -> dict[str, list[str]]:
    """Distributions that are not here, by who needs them; nobody is left out."""
    found = {
        stage: [dist for name, dist in names.items() if not _is_there(name)]
        for stage, names in NEEDED.items()
    }
    return {stage: names for stage, names in found.items() if names}


def report() -> str:
    """For a terminal."""
    lines = [f"{name}: {value}" for name, value in about().items()]
    lacking = missing()
    if not lacking:
        return "\n".join([*lines, "", "nothing is missing"])
    every = sorted({name for names in lacking.values() for name in names})
    lines += ["", *(f"missing for {stage}: {', '.join(names)}" for stage, names in lacking.items())]
    version = ".".join(platform.python_version_tuple()[:2])
    return "\n".join(
        [
            *lines,
            "",
            "where packages can be fetched (--no-deps: the list names what they need in turn):",
            f"  python3 -m pip download --no-deps --only-binary=:all: --python-version {version} "
            "--implementation cp --platform manylinux_2_28_x86_64 "
            "--platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 "
            "--platform manylinux2014_x86_64 --platform manylinux1_x86_64 "
            f"-d wheels {' '.join(every)}",
            "here, with that folder:",
            "  python3 -m pip install --no-index --no-deps --target site wheels/*.whl",
            "  export PYTHONPATH=$PWD/site:$PWD",
        ]
    )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def _version(name: str) -> str:
    return importlib.metadata.version(name) if _is_there(name) else "none"
