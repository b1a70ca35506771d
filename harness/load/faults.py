"""What can go wrong with one exchange on the wire, one class a cause.

    WireFault               carries the error class of the record and one line of detail
    |- DnsFault, ConnectFault, TlsFault     no connection
    |- TimeoutFault         its error_class says which limit
    |- TruncatedFault       reset, or the end before the end of the body
    |- MalformedFault       not HTTP as we know it
    |- StaleFault           a kept connection was closed just as we used it
    |- ClientFault          descriptors, ports, our own exception
    |- CancelFault          the scenario's user left
    `- CutFault             the end of the run came first

They are caught by the exchange, never by a user: a failed request is a row, not an exception.
"""

from __future__ import annotations


class WireFault(Exception):
    """error_class: a member of records.schema.ERROR_CLASSES."""

    error_class = "client_fault"

    def __init__(self, detail: str, error_class: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if error_class:
            self.error_class = error_class


class DnsFault(WireFault):
    error_class = "dns"


class ConnectFault(WireFault):
    error_class = "connect"


class TlsFault(WireFault):
    error_class = "tls"


class TimeoutFault(WireFault):
    error_class = "timeout_total"


class TruncatedFault(WireFault):
    error_class = "truncated"


class MalformedFault(WireFault):
    error_class = "malformed"


class StaleFault(WireFault):
    error_class = "stale"


class ClientFault(WireFault):
    error_class = "client_fault"


class CancelFault(WireFault):
    error_class = "cancelled"


class CutFault(WireFault):
    error_class = "cut"
