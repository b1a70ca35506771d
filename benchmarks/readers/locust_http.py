"""locust's HttpUser (requests), a user a stream, by iter_lines with its default of 512 bytes."""

from __future__ import annotations

from time import monotonic_ns

import gevent
from locust import HttpUser
from locust.env import Environment

from benchmarks.readers.job import Job, Stream


def read(job: Job) -> list[Stream]:
    streams = [Stream() for _ in range(job.num_streams)]
    environment = Environment(user_classes=[HttpUser])

    class Reader(HttpUser):
        host = f"http://{job.host}:{job.port}"

    def one(stream: Stream) -> None:
        headers = {"content-type": "application/json"}
        client = Reader(environment).client
        response = client.post(job.path, data=job.body, headers=headers, stream=True)
        for line in response.iter_lines():
            stream.add(line + b"\n", monotonic_ns())

    job.start()
    gevent.joinall([gevent.spawn(one, stream) for stream in streams], raise_error=True)
    job.stop()
    return streams
