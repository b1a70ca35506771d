"""Names of the messages between master (m) and workers (w), and the proof of a shared secret.

They ride on locust's own RPC, or are plain calls where both sides are one process. Payloads are
msgpack-plain: dictionaries, lists, numbers, text and bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import os

TO_MASTER = ("hello", "ready", "batch", "pulse", "measured", "done")
TO_WORKER = ("assign", "plan", "go", "load_end", "drain", "acknowledge")
TOKEN_ENV = "HARNESS_TOKEN"


def wire_name(name: str) -> str:
    """Ours never collide with locust's own message types."""
    return f"harness_{name}"


def proof(client_id: str) -> str:
    """HMAC of the client's id under the shared token; the token itself never travels."""
    token = os.environ.get(TOKEN_ENV, "")
    return hmac.new(token.encode(), client_id.encode(), hashlib.sha256).hexdigest()
