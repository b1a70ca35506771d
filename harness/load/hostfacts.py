"""What a load process tells of its host and its code when it joins, and where two of them differ.

Workers that run other code, or another locust, could send other requests: they are refused. The
code is compared by a digest of its sources, so that it needs no git and sees an edited checkout.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import socket
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import harness
from harness.load.setup import descriptor_limit
from harness.load.wire import SO_TIMESTAMPNS
from harness.records.schema import SCHEMA_VERSION

_ROOMS = ("scenario", "traffic", "load", "records")  # what decides which bytes are sent and kept


@dataclass(frozen=True, slots=True)
class HostFacts:
    """versions: compared with the master's, every one of them.  boot_id: equal where two processes
    share a monotonic clock, namespaces aside."""

    host: str
    pid: int
    cores: int
    boot_id: str
    descriptors: int
    has_kernel_stamps: bool
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> HostFacts:
        return cls(**{name: row[name] for name in cls.__slots__})

    @property
    def host_sha256(self) -> str:
        """As in a run's provenance: tells hosts apart without naming them."""
        return hashlib.sha256(self.host.encode()).hexdigest()[:16]


def read_host_facts() -> HostFacts:
    """Of this process."""
    return HostFacts(
        host=socket.gethostname(),
        pid=os.getpid(),
        cores=os.cpu_count() or 1,
        boot_id=boot_id(),
        descriptors=descriptor_limit(),
        has_kernel_stamps=has_kernel_stamps(),
        versions={
            "package": harness.__version__,
            "python": ".".join(platform.python_version_tuple()[:2]),
            "locust": metadata.version("locust"),
            "records schema": str(SCHEMA_VERSION),
            "code": code_digest(),
        },
    )


def differences(here: HostFacts, there: HostFacts) -> str:
    """`locust 2.47 here, 2.40 there; ...`; empty where both are the same."""
    names = dict.fromkeys((*here.versions, *there.versions))
    pairs = ((n, here.versions.get(n, "none"), there.versions.get(n, "none")) for n in names)
    return "; ".join(f"{name} {ours} here, {theirs} there" for name, ours, theirs in pairs
                     if ours != theirs)  # fmt: skip


@functools.cache
def code_digest() -> str:
    """The first 16 hex digits of SHA-256 over the sources that make, send and record requests.

    The data they read is compared by what comes of it: the digests of schedule and bodies.
    """
    root = Path(harness.__file__).parent
    files = [path for room in _ROOMS for path in (root / room).rglob("*.py")]
    files += root.glob("*.py")
    digest = hashlib.sha256()
    for path in sorted(files):
        if "__pycache__" not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(root.parent)} {content}\n".encode())
    return digest.hexdigest()[:16]


def has_kernel_stamps() -> bool:
    """Whether this kernel stamps what it receives, asked of a datagram to ourselves."""
    if sys.platform != "linux":
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(1.0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"?", receiver.getsockname())
            ancillary = receiver.recvmsg(16, 128)[1]
    except OSError:
        return False
    return any(kind == SO_TIMESTAMPNS for _, kind, _ in ancillary)


def boot_id() -> str:
    """Tells whether two processes share a monotonic clock."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return sys.platform
