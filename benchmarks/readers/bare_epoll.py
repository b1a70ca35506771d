"""The floor: one epoll loop over raw sockets, one stamp a read, no HTTP at all."""

from __future__ import annotations

import select
import socket
from time import monotonic_ns

from benchmarks.readers.job import Job, Stream


def read(job: Job) -> list[Stream]:
    epoll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(job.num_streams):
        sock = socket.create_connection((job.host, job.port))
        sock.setblocking(False)
        sockets[sock.fileno()] = sock
        epoll.register(sock, select.EPOLLIN)
    streams = {fd: Stream() for fd in sockets}
    job.start()
    for sock in sockets.values():
        sock.send(job.request)
    num_left = len(sockets)
    while num_left:
        for fd, _ in epoll.poll():
            data = sockets[fd].recv(65536)
            streams[fd].add(data, monotonic_ns())
            if not data or data.endswith(b"0\r\n\r\n"):
                epoll.unregister(fd)
                num_left -= 1
    job.stop()
    return list(streams.values())
