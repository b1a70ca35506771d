"""The worker's side of the handshake: it proves the secret, checks the master's, tells its clock.

What happens to a worker of another host is put into words for the command that started it; why one
was refused is its last word, with the exit code that belongs to it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

import gevent

from harness.errors import ExitCode, HarnessError, MeasurementError, UsageError
from harness.load.failure import error_from_json, error_to_json
from harness.load.hostfacts import read_host_facts
from harness.load.messages import TOKEN_ENV, is_same_proof, proof, wire_name

MASTER_SILENT_NS = 10_000_000_000
WATCH_S = 1.0
Say = Callable[[dict[str, Any]], None]


class Membership:
    """say: tells an event to the command that started this process.  leave: ends the process with
    an exit code.  is_remote: of another host's run."""

    def __init__(
        self, environment: Any, runner: Any, *, is_remote: bool, say: Say,
        leave: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._runner, self._say, self._leave = runner, say, leave
        self._is_remote = is_remote
        self._client_id = str(runner.client_id)
        self._nonce = secrets.token_hex(16)
        self._heard_ns = monotonic_ns()
        self.session = ""  # set once both sides have proven the secret
        handlers = {
            "challenge": self._on_challenge, "welcome": self._on_welcome,
            "refuse": self._on_refuse, "bye": self._on_bye, "ping": self._on_ping,
        }  # fmt: skip
        for name, handler in handlers.items():
            runner.register_message(wire_name(name), handler)
        environment.events.heartbeat_received.add_listener(self._on_heartbeat)

    def hello(self) -> None:
        """Ask to take part; the master answers with a challenge."""
        self._send("hello", {
            "client_id": self._client_id, "nonce": self._nonce, "is_remote": self._is_remote,
            "facts": read_host_facts().to_json(),
        })  # fmt: skip
        if self._is_remote:
            gevent.spawn(self._watch)

    def tell(self, text: str) -> None:
        self._say({"event": "say", "text": text})

    def fail(self, error: HarnessError) -> None:
        """Tell why this worker takes no part, and end it."""
        self._say({"event": "refused", "error": error_to_json(error)})
        self._send("leave", {})
        self._leave(int(error.exit_code))

    def part(self) -> None:
        """Tell the master that this worker goes."""
        self._send("leave", {})

    def _on_challenge(self, *, environment: Any, msg: Any) -> None:
        words = (self._client_id, self._nonce, str(msg.data["nonce"]))
        is_known = is_same_proof(msg.data["proof"], proof("master", *words))
        # a master that does not know the secret gets nothing to guess it from
        ours = proof("worker", *words) if is_known else ""
        self.session = proof("session", *words) if is_known else ""
        self._send("answer", {"client_id": self._client_id, "proof": ours})
        if not is_known:
            self.fail(UsageError(
                f"this worker and the master do not share {TOKEN_ENV}",
                do=f"export the same {TOKEN_ENV} on all hosts",
            ))  # fmt: skip

    def _on_welcome(self, *, environment: Any, msg: Any) -> None:
        parked = "; parked until the next point" if msg.data["is_parked"] else ""
        self.tell(f"joined{parked}")

    def _on_refuse(self, *, environment: Any, msg: Any) -> None:
        self._say({"event": "refused", "error": error_to_json(error_from_json(msg.data))})
        self._leave(int(msg.data["exit_code"]))

    def _on_bye(self, *, environment: Any, msg: Any) -> None:
        self.tell("the run is over")
        self._leave(int(ExitCode.OK))

    def _on_ping(self, *, environment: Any, msg: Any) -> None:
        received_ns = monotonic_ns()  # before anything else
        number = msg.data["number"]
        row = {"number": number, "received_ns": received_ns, "session": self.session}
        row["sent_ns"] = monotonic_ns()  # after all else
        self._runner.send_message(wire_name("pong"), row)

    def _on_heartbeat(self, **_: Any) -> None:
        self._heard_ns = monotonic_ns()

    def _watch(self) -> None:
        """No load outlives the run it belongs to."""
        before_ns = monotonic_ns()
        while True:
            gevent.sleep(WATCH_S)
            now_ns = monotonic_ns()
            if now_ns - before_ns > 2 * WATCH_S * 1e9:  # this process was held up, not the master
                self._heard_ns += now_ns - before_ns
            before_ns = now_ns
            if now_ns - self._heard_ns > MASTER_SILENT_NS:
                self.fail(MeasurementError(
                    "the master is gone",
                    why=f"nothing was heard of it for {MASTER_SILENT_NS / 1e9:.0f} s",
                    do="see what the run says on the master's host",
                ))  # fmt: skip

    def _send(self, name: str, data: dict[str, Any]) -> None:
        self._runner.send_message(wire_name(name), data | {"session": self.session})
