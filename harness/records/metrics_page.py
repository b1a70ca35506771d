"""One GET of a target's `/metrics`, bounded in time and size; whatever goes wrong is a PageFault.

Standard library only. No redirects, no decompression, no proxies from the environment. A key goes
only where the requests go.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from time import monotonic
from urllib.parse import urlsplit

from .exposition import NotExposition, Sample, parse_exposition

TIMEOUT_S = 2.0
MAX_BYTES = 8 << 20
_PART_BYTES = 1 << 16
_TYPES = ("", "text/plain", "application/openmetrics-text")
_ABSENT = {401: "it refuses our key", 403: "it refuses us", 404: "there is none"}
_ABSENT |= {405: "there is none", 410: "there is none", 501: "there is none"}


class PageFault(Exception):
    """Why a page could not be read. is_final: asking again will not help."""

    def __init__(self, why: str, *, is_final: bool) -> None:
        super().__init__(why)
        self.why, self.is_final = why, is_final


def metrics_url(base_url: str) -> str:
    """Where a target of this base URL (up to and including /v1) shows its metrics."""
    root = base_url.rstrip("/").removesuffix("/v1")
    return f"{root}/metrics"


def is_same_origin(url: str, other: str) -> bool:
    """Whether both URLs lead to the same scheme, host and port."""
    a, b = urlsplit(url), urlsplit(other)
    return (a.scheme, a.hostname, a.port) == (b.scheme, b.hostname, b.port)


class MetricsPage:
    """A page that is read again and again, each time over a connection of its own: one a second
    costs nothing, and none is found closed by the server. Belongs to one thread."""

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.url, self._timeout_s = url, timeout_s
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.headers = {
            "Accept": "text/plain;version=0.0.4;q=1, application/openmetrics-text;q=0.5",
            "Accept-Encoding": "identity",
            "User-Agent": "inference-harness",
        } | dict(headers or {})
        host, port = parts.hostname or "", parts.port
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(
                host, port, timeout=timeout_s, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def read(self) -> list[Sample]:
        """The page's samples. Raises PageFault, and nothing else."""
        try:
            return self._read()
        except NotExposition as error:
            raise PageFault(f"its text is no metrics page: {error}", is_final=True) from None
        except TimeoutError:
            raise PageFault(f"it took longer than {self._timeout_s:g} s", is_final=False) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PageFault(str(error) or type(error).__name__, is_final=False) from None
        finally:
            self.close()

    def close(self) -> None:
        self._connection.close()

    def _read(self) -> list[Sample]:
        deadline_s = monotonic() + self._timeout_s
        self._connection.request("GET", self._path, headers=self.headers)
        reply = self._connection.getresponse()
        if reply.status != 200:
            why = _ABSENT.get(reply.status, f"it answers {reply.status}")
            is_final = reply.status in _ABSENT or 300 <= reply.status < 400
            raise PageFault(why, is_final=is_final)
        kind = reply.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() not in _TYPES:
            raise PageFault(f"it is of type {kind[:60]}", is_final=True)
        if reply.headers.get("content-encoding", "identity").lower() != "identity":
            raise PageFault("it is compressed though that was not asked for", is_final=True)
        body = bytearray()
        while part := reply.read1(_PART_BYTES):
            body += part
            if len(body) > MAX_BYTES:
                raise PageFault(f"it is larger than {MAX_BYTES >> 20} MiB", is_final=True)
            if monotonic() > deadline_s:
                raise TimeoutError
        samples = parse_exposition(body.decode("utf-8", "replace"), kind)
        if not samples:
            raise PageFault("it is empty", is_final=False)
        return samples
