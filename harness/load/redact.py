"""Error texts are kept; secrets, prompts and the secret parts of URLs are not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

MAX_DETAIL = 240
NUM_SHARED_WORDS = 3
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_KEY = re.compile(r"(?i)(bearer\s+\S+|\b(?:sk|pk|hf|gsk|xai|key)[-_][\w-]{6,}|api[-_]?key\S*)")


def conceal(text: str, secrets: Sequence[str]) -> str:
    """Storable, and without what the environment gave for keys and headers."""
    text = storable(text)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def redact(text: str, secrets: Sequence[str] = (), prompt: str = "") -> str:
    """One line of at most 240 characters without secrets, key-like words, or the prompt's words.

    A run of three words that also stands in the prompt is taken for a quotation of it.
    """
    text = printable(conceal(text, secrets))
    words = _KEY.sub("***", text).split()[:80]
    if prompt:
        haystack = " ".join(prompt.replace("\\n", " ").split())
        quoted: set[int] = set()
        for k in range(len(words) - NUM_SHARED_WORDS + 1):
            run = " ".join(words[k : k + NUM_SHARED_WORDS]).strip("'\".,:;()[]{}")
            if run in haystack:
                quoted.update(range(k, k + NUM_SHARED_WORDS))
        kept = [word if k not in quoted else "" for k, word in enumerate(words)]
        words = [w or "…" for k, w in enumerate(kept) if w or not k or kept[k - 1]]
    return " ".join(words)[:MAX_DETAIL]


def printable(text: str) -> str:
    """One line without control characters: what an endpoint says has no hold on a terminal."""
    return _CONTROL.sub(" ", text)


def shown_url(url: str) -> str:
    """Without what may hold a secret: user, password, query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that is none"
    host = parts.netloc.rpartition("@")[2]
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    return f"{scheme}//{host}{parts.path}" if host else parts.path


def storable(text: str) -> str:
    """Half a surrogate pair, legal in JSON, is no UTF-8: no file and no message takes it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
