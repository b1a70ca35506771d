"""Rules of what is called and as whom: URLs, headers, names of variables. No secret is written.

As in _rules.py: field and message, run on every block that is valid in itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from harness.scenario import document as doc

_SECRET_HEADER = re.compile(
    r"auth|api[-_]?key|access[-_]?key|token|secret|cookie|passw|credential|signature|[-_]key$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"(?i)^(bearer|basic)\s+\S|\b(sk|pk|hf|gsk|xai)[-_][\w-]{12,}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_API_CALLS = (
    "/chat/completions",
    "/completions",
    "/models",
    "/embeddings",
    "/audio/transcriptions",
)


def is_secret_header(name: str) -> bool:
    """Whether a header's value is to be named by {env: NAME}, never written."""
    return bool(_SECRET_HEADER.search(name))


def target_complaints(block: doc.OpenAITarget) -> Iterator[tuple[str, str]]:
    try:
        url = urlsplit(block.url)
        port, host = url.port, url.hostname
    except ValueError:
        yield "url", "is not a URL; write http://host:port/v1"
        return
    if "@" in url.netloc:
        yield "url", "holds a user or password; name the key's variable in api_key_env instead"
    elif url.scheme not in ("http", "https"):
        yield "url", "must start with http:// or https://"
    elif not host or port == 0:
        yield "url", "names no host; write http://host:port/v1"
    elif re.search(r"[^\x21-\x7e]", block.url):
        yield "url", "holds a space or a sign outside ASCII; write it as %20 and the like"
    elif url.query or url.fragment:
        yield "url", "must end with its path; a key in a query would be recorded, use api_key_env"
    else:
        calls = [call for call in _API_CALLS if url.path.rstrip("/").endswith(call)]
        if calls:
            yield "url", f"is one call; give the base URL, without '{calls[0]}'"
    yield from _headers(block)
    yield from key_name_complaints(block)


def _headers(block: doc.OpenAITarget) -> Iterator[tuple[str, str]]:
    for name, value in block.headers.items():
        if isinstance(value, str) and (is_secret_header(name) or _SECRET_VALUE.search(value)):
            yield f"headers.{name}", "a secret is named, never written: {env: NAME_OF_VARIABLE}"
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            yield f"headers.{name[:40]}", "is not a header name"
        if isinstance(value, str) and re.search(r"[\r\n]", value):
            yield f"headers.{name}", "must be one line"
        elif isinstance(value, str) and re.search(r"[^\x20-\x7e]", value):
            yield f"headers.{name}", "must be plain ASCII text"


def key_name_complaints(block: doc.OpenAITarget | doc.TrafficClass) -> Iterator[tuple[str, str]]:
    if block.api_key_env is not None and not _ENV_NAME.fullmatch(block.api_key_env):
        yield "api_key_env", "is the name of a variable such as MY_API_KEY, never the key itself"


def variable_complaints(block: doc.EnvValue) -> Iterator[tuple[str, str]]:
    if not _ENV_NAME.fullmatch(block.env):
        yield "env", "is the name of a variable such as MY_API_KEY, never the value itself"


def metrics_complaints(block: doc.Prometheus) -> Iterator[tuple[str, str]]:
    if block.url == "auto":
        return
    try:
        url = urlsplit(block.url)
        is_whole = url.scheme in ("http", "https") and bool(url.hostname)
    except ValueError:
        is_whole = False
    if not is_whole:
        yield "url", "is not a URL; write auto, or http://host:port/metrics"
    elif "@" in url.netloc or _SECRET_HEADER.search(url.query):
        yield "url", "holds a secret; the target's own key is sent where the page is beside it"
