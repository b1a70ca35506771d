"""Names of the messages between master (m) and workers (w), and the proofs of a shared secret.

They ride on locust's own RPC, or are plain calls where both sides are one process. Payloads are
msgpack-plain: dictionaries, lists, numbers, text and bytes. locust's RPC is plain TCP: the proofs
keep strangers out, they do not hide what is said; across a network that others read, use a tunnel.

    hello w->m, challenge m->w, answer w->m, welcome or refuse m->w     once a worker
    ping m->w, pong w->m                                                clocks compared
    plan m->w, want w->m, part m->w, preparing and ready w->m           before a point
    go, load_end, drain m->w, measured, batch, pulse, done w->m, acknowledge m->w
    leave w->m, bye m->w                                                the end
"""

from __future__ import annotations

import hashlib
import hmac
import os

TO_MASTER = ("preparing", "ready", "want", "batch", "pulse", "measured", "done")
TO_ROSTER = ("hello", "answer", "leave")  # about the worker itself, whatever point is being run
TO_WORKER = ("plan", "part", "go", "load_end", "drain", "acknowledge")
TOKEN_ENV = "HARNESS_TOKEN"


def wire_name(name: str) -> str:
    """Ours never collide with locust's own message types."""
    return f"harness_{name}"


def proof(role: str, *words: str) -> str:
    """HMAC-SHA256 of what both sides know, under the shared token; the token never travels.

    role: keeps a proof of one side, or of one purpose, from serving as another's. words: the
    client's id and both nonces, so that a proof that was overheard is worth nothing later.
    """
    token = os.environ.get(TOKEN_ENV, "")
    text = "\0".join((role, *words))
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_same_proof(given: object, expected: str) -> bool:
    """In constant time; anything that is no text is not the same."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())
