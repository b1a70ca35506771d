"""locust's FastHttpUser, a user a stream, line by line: `iter_content` would wait for 1 KiB."""

from __future__ import annotations

from time import monotonic_ns

import gevent
from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment

from benchmarks.readers.job import Job, Stream


def read(job: Job) -> list[Stream]:
    streams = [Stream() for _ in range(job.num_streams)]
    environment = Environment(user_classes=[FastHttpUser])

    class Reader(FastHttpUser):
        host = f"http://{job.host}:{job.port}"
        network_timeout = connection_timeout = 120.0

    def one(stream: Stream) -> None:
        headers = {"content-type": "application/json"}
        client = Reader(environment).client
        response = client.post(job.path, data=job.body, headers=headers, stream=True)
        while line := response._response.readline(b"\n"):
            stream.add(bytes(line), monotonic_ns())

    job.start()
    gevent.joinall([gevent.spawn(one, stream) for stream in streams], raise_error=True)
    job.stop()
    return streams
