"""Whether a target still answers, asked when the last requests of a load brought nothing.

Records show that nobody answered; whether the target died, was restarted meanwhile, or only
refuses that much load is what one small request tells.
"""

from __future__ import annotations

import time

from harness.cli._endpoints import Endpoint, first_asked, headers_of, key_of
from harness.errors import TargetError
from harness.load import probe_target
from harness.scenario import Point

ASK_AGAIN_S = 1.0


def why_gone(point: Point, endpoint: Endpoint) -> str:
    """Why the target does not answer one small request; empty where it does.

    It is asked again for as long as a connection may take (timeout.connect), which a restart may
    use. Raises UsageError where a key is not set any more.
    """
    target, child = point.target, endpoint.child
    url, model, api = endpoint.base_url, endpoint.facts.model, first_asked(point.traffic).endpoint
    headers = headers_of(point.target_name, target)
    key = key_of(endpoint.api_key_env, f"targets.{point.target_name}.api_key_env")
    end_s = time.monotonic() + target.timeout.connect
    while True:
        if child is not None and not child.is_alive:
            last = child.log_tail(1)
            return f"{child.name} has ended{f': {last}' if last else ''}"
        try:
            probe_target(url, model, key, headers, target.timeout, api)
        except TargetError as error:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return f"{error.what}: {error.why}" if error.why else error.what
            time.sleep(min(ASK_AGAIN_S, left_s))
        else:
            return ""
