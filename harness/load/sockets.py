"""What happened to this process's own connections: segments sent again, kept ones closed on us.

TCP_INFO tells of one connection what /proc/net/snmp tells of the whole machine; a neighbour's
retransmits are none of ours. Where the system does not say (not Linux, some sandboxes) nothing is
told, never the machine's number. One instance a process, as its sockets are.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from typing import Any

MOST_A_READ = 256  # sockets asked in one go: some 0.3 ms of the hub's time
_TOTAL_RETRANS = struct.Struct("=I")
_OFFSET_BYTES = 100  # of tcpi_total_retrans: 8 bytes, then 23 words (linux/tcp.h)
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)


def retransmits_of(raw: Any) -> int | None:
    """Segments this connection has sent again, its SYN among them; None where nobody tells."""
    if _TCP_INFO is None:
        return None
    try:
        info = raw.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _OFFSET_BYTES + _TOTAL_RETRANS.size)
    except OSError:
        return None
    if len(info) < _OFFSET_BYTES + _TOTAL_RETRANS.size:
        return None
    return int(_TOTAL_RETRANS.unpack_from(info, _OFFSET_BYTES)[0])


class Sockets:
    """Every open connection, and what the closed ones left.

    num_dropped: kept connections that the server closed, after an answer or while idle.
    """

    def __init__(self) -> None:
        self._seen: dict[Any, int] = {}  # last count told of each open socket
        self._turn: deque[Any] = deque()  # the order in which they are asked
        self._total = 0
        self._is_told = False
        self.num_dropped = 0

    def opened(self, raw: Any) -> None:
        """A connection was made."""
        self._seen[raw] = 0
        self._turn.append(raw)
        self._ask(raw)

    def closing(self, raw: Any) -> None:
        """It is about to be closed: the last chance to ask."""
        if raw in self._seen:
            self._ask(raw)
            del self._seen[raw]

    def num_retransmits(self) -> int | None:
        """Segments sent again since the process began; None where the system never told.

        Asks the connections in turn, MOST_A_READ of them: what another one has sent again since
        is told by a later read, or when it closes.
        """
        num_asked = 0
        for _ in range(len(self._turn)):
            raw = self._turn.popleft()
            if raw in self._seen:  # else it was closed: it leaves the queue for good
                self._turn.append(raw)
                self._ask(raw)
                num_asked += 1
                if num_asked == MOST_A_READ:
                    break
        return self._total if self._is_told else None

    def _ask(self, raw: Any) -> None:
        count = retransmits_of(raw)
        if count is not None:
            self._is_told = True
            self._total += count - self._seen[raw]
            self._seen[raw] = count


SOCKETS = Sockets()
