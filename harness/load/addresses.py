"""Addresses that masters bind and workers dial: `ADDR[:PORT]`, IPv6 in brackets."""

from __future__ import annotations

import ipaddress
import socket

from harness.errors import UsageError

_ANY = ("0.0.0.0", "*", "[::]")
_ELSEWHERE = ("192.0.2.1", 9)  # documentation range, RFC 5737; nothing is sent there


def split_address(text: str, *, needs_port: bool = False) -> tuple[str, int]:
    """Host and port; port 0 where none is given. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or (text.startswith("[") and text.endswith("]")):
        host, port = text, ""
    is_good = bool(host) and (":" not in host or host.startswith("["))
    is_good &= port.isdecimal() and 0 < int(port) < 65536 if colon and port else not needs_port
    if not is_good or (colon and not port and host != text):
        form = "HOST:PORT" if needs_port else "ADDR[:PORT]"
        raise UsageError(
            f"'{text}' is no address", why=f"expected {form}",
            do="write it like 10.0.0.5:5557; an IPv6 address in brackets",
        )  # fmt: skip
    return host, int(port) if port else 0


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def reachable_as(host: str) -> str:
    """What other hosts may dial where `host` is bound: for all addresses, the one that packets to
    elsewhere would leave from, else this machine's name."""
    if host not in _ANY:
        return host
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_ELSEWHERE)
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()
