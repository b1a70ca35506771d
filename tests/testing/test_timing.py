"""Due times are fixed by script and seed; stamps never lie about them."""

from __future__ import annotations

from typing import Any

from raw import ask, connect, read_reply, request_bytes, settled

from harness.testing import RequestLog, ScriptedServer

MS = 1_000_000


def run(script: dict[str, Any], *bodies: dict[str, Any]) -> tuple[RequestLog, ...]:
    """Send one request after the other; the log of all."""
    with ScriptedServer(script) as server:
        for body in bodies:
            assert ask(server.port, **body).status == 200
        return server.requests


def token_dues(log: RequestLog) -> list[int]:
    """ms after the start, of the token chunks: without role, finish and usage."""
    return [(due - log.start_ns) // MS for due in log.due_ns[1:-1]]


def test_due_times_are_absolute_and_stamps_monotone(server: ScriptedServer) -> None:
    reply = ask(server.port, max_tokens=20)
    stamps = [event["x_script"] for event in reply.events]
    assert [s["k"] for s in stamps] == list(range(22))  # role, 20 tokens, finish
    assert all(s["send_ns"] >= s["due_ns"] >= s["recv_ns"] for s in stamps)
    sends = [s["send_ns"] for s in stamps]
    assert sends == sorted(sends)
    dues = [s["due_ns"] - s["recv_ns"] for s in stamps]
    assert dues == [0] + [(2 + k) * MS for k in range(20)] + [21 * MS]
    log = server.requests[-1]
    assert list(log.send_ns) == sends
    assert (log.output_tok, log.prompt_tok) == (20, 3)
    assert settled(log).outcome == "done"


def test_gaps_by_list_repeat_the_last() -> None:
    (log,) = run({"timing": {"ttft": "1ms", "gap": ["2ms", "3ms"]}}, {"max_tokens": 5})
    assert token_dues(log) == [1, 3, 6, 9, 12]


def test_a_stall_moves_everything_after_it() -> None:
    stall = {"at": 2, "duration": "10ms"}
    (log,) = run({"timing": {"ttft": "1ms", "gap": "1ms", "stall": stall}}, {"max_tokens": 4})
    assert token_dues(log) == [1, 2, 13, 14]


def test_a_law_is_drawn_from_the_seed_and_the_arrival() -> None:
    law = {"median": "1ms", "p95": "2ms"}
    script = {"seed": 5, "timing": {"ttft": "1ms", "gap": law}}
    first, second = run(script, {"max_tokens": 12}, {"max_tokens": 12})
    again, _ = run(script, {"max_tokens": 12}, {"max_tokens": 12})

    def gaps(log: RequestLog) -> list[int]:
        return [b - a for a, b in zip(log.due_ns[1:], log.due_ns[2:], strict=False)]

    assert gaps(first) == gaps(again)
    assert gaps(first) != gaps(second)
    assert all(gap >= 0 for gap in gaps(first))


def test_one_step_grid_for_all() -> None:
    script = {"timing": {"ttft": "1ms", "gap": "3ms", "step": "5ms"}}
    with ScriptedServer(script) as server:
        for _ in range(2):
            ask(server.port, max_tokens=4)
        for log in server.requests:
            assert all((due - server.origin_ns) % (5 * MS) == 0 for due in log.due_ns[1:])
            assert all(0 <= d - log.start_ns - (1 + 3 * k) * MS < 5 * MS
                       for k, d in enumerate(log.due_ns[1:-1]))  # fmt: skip


def test_prompt_tokens_cost_time() -> None:
    script = {"timing": {"ttft": "1ms", "per_prompt_tok": "1ms"},
              "tokens": {"prompt_slope": 2.0, "prompt_fixed": 4}}  # fmt: skip
    (log,) = run(script, {"max_tokens": 1})
    assert log.prompt_tok == 10  # 2 * 3 words + 4
    assert token_dues(log) == [11]


def test_requests_queue_for_the_servers_in_order() -> None:
    with ScriptedServer({"servers": 2, "timing": {"ttft": "10ms", "gap": "10ms"}}) as server:
        socks = [connect(server.port) for _ in range(5)]
        for sock in socks:
            sock.sendall(request_bytes(max_tokens=2))
        for sock in socks:
            read_reply(sock)
            sock.close()
        logs = server.requests
    assert [log.start_ns == log.recv_ns for log in logs[:2]] == [True, True]
    for log, freer in zip(logs[2:], logs, strict=False):  # two servers: two places before it
        assert log.start_ns == max(log.recv_ns, freer.start_ns + 20 * MS)


def test_what_is_too_much_at_a_time_is_refused_at_once() -> None:
    with ScriptedServer({"most_running": 2, "timing": {"ttft": "100ms"}}) as server:
        socks = [connect(server.port) for _ in range(3)]
        for sock in socks:
            sock.sendall(request_bytes(max_tokens=1))
        found = sorted(read_reply(sock).status for sock in socks)
        assert found == [200, 200, 503]
        assert ask(server.port, max_tokens=1).status == 200  # once they are served
        for sock in socks:
            sock.close()


def test_slow_headers_delay_tokens_that_would_be_earlier(server: ScriptedServer) -> None:
    ask(server.port, max_tokens=2, script={"timing": {"headers": "20ms"}})
    log = server.requests[-1]
    assert [(due - log.start_ns) // MS for due in log.due_ns] == [20, 20, 20, 20]


def test_all_suffer_an_outage() -> None:
    silence = {"kind": "stall", "start": "0ms", "duration": "40ms"}
    with ScriptedServer({"outages": [silence], "timing": {"ttft": "1ms"}}) as server:
        ask(server.port, max_tokens=2)
        log = server.requests[0]
        end_ns = server.origin_ns + 40 * MS
        assert all(due == end_ns for due in log.due_ns[1:3])


def test_a_dead_server_refuses_and_comes_back() -> None:
    down = {"kind": "refuse", "start": "0ms", "duration": "100ms"}
    failures: list[type[OSError]] = []
    with ScriptedServer({"outages": [down]}) as server:
        while ConnectionRefusedError not in failures:
            try:  # until the loop's first turn closes the listener, the kernel may connect us
                connect(server.port).recv(1)
            except OSError as error:
                failures.append(type(error))
        while not server.requests:
            try:
                reply = ask(server.port, max_tokens=1)
            except OSError as error:
                failures.append(type(error))
    assert set(failures) <= {ConnectionRefusedError, ConnectionResetError}
    assert reply.status == 200


def test_a_backlog_is_left_unaccepted_for_a_while() -> None:
    deaf = {"kind": "no_accept", "start": "0ms", "duration": "60ms"}
    with ScriptedServer({"outages": [deaf]}) as server:
        ask(server.port, max_tokens=1)
        assert server.requests[0].recv_ns >= server.origin_ns + 60 * MS


def test_a_slow_reader_takes_its_time() -> None:
    script = {"transport": {"read_bytes_per_s": 100_000}}
    with ScriptedServer(script) as server, connect(server.port) as sock:
        data = request_bytes(max_tokens=1, prompt="x" * 4096)
        sock.sendall(data)
        assert read_reply(sock).status == 200
        log = server.requests[0]
    # 5 reads of 1 KiB are 4 pauses of 10.24 ms
    assert log.recv_ns - server.origin_ns >= 4 * 10 * MS
