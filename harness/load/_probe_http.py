"""One request at a time over http.client, every failure turned into a TargetError."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from harness.errors import TargetError, UsageError
from harness.load.redact import conceal, printable, shown_url

MAX_BODY_BYTES = 4 << 20
SHORTEST_SECRET = 6
HASTY_S = 0.1  # a server that will not keep a connection closes it within this


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]  # lower-case names
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Target:
    """An endpoint by its base URL; `shown` is the URL without user info.

    keeps_connections: False once a stream's connection was closed right after its end.
    """

    def __init__(
        self, base_url: str, api_key: str | None, headers: dict[str, str], connect_s: float
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"'{base_url}' is not the URL of an endpoint", do="write http://HOST:PORT/v1"
            )
        self.is_tls = parts.scheme == "https"
        self.host, self.port = parts.hostname, parts.port or (443 if self.is_tls else 80)
        self.path = parts.path.rstrip("/")
        name = f"[{self.host}]" if ":" in self.host else self.host
        self.shown = f"{parts.scheme}://{name}{f':{parts.port}' if parts.port else ''}{self.path}"
        self.connect_s = connect_s
        self.keeps_connections = True
        self._has_key = bool(api_key)
        # a short literal is no secret, and stands in many a word
        hidden = (value for value in headers.values() if len(value) >= SHORTEST_SECRET)
        self._secrets = (api_key or "", *hidden)
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "inference-harness"} | headers
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def resolve(self) -> tuple[str, ...]:
        try:
            rows = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise TargetError(
                f"the name '{self.host}' has no address",
                where=self.shown, why=str(error), do="check the host name and your DNS",
            ) from None  # fmt: skip
        return tuple(dict.fromkeys(str(row[4][0]) for row in rows))

    def connect(self) -> socket.socket:
        """A plain TCP connection."""
        try:
            return socket.create_connection((self.host, self.port), self.connect_s)
        except TimeoutError:
            self._timed_out("the connection was not accepted", self.connect_s)
        except OSError as error:
            self._unreachable(error)

    def get(self, path: str, wait_s: float) -> Reply:
        return self._ask("GET", path, None, wait_s)

    def post(self, path: str, body: dict[str, Any], wait_s: float) -> Reply:
        return self._ask("POST", path, json.dumps(body).encode(), wait_s)

    def post_form(self, path: str, form: bytes, content_type: str, wait_s: float) -> Reply:
        return self._ask("POST", path, form, wait_s, content_type)

    @property
    def key_advice(self) -> tuple[str, str]:
        """What a 401 means here, and what to do about it."""
        if self._has_key:
            return "the endpoint refuses the key", "check the variable that api_key_env names"
        return "the endpoint wants a key", "export the key and name its variable: api_key_env"

    def redact(self, text: str) -> str:
        """Without the key and the values of headers, should the endpoint echo them; printable."""
        return printable(conceal(text, self._secrets))

    def _ask(
        self, method: str, path: str, body: bytes | None, wait_s: float,
        content_type: str = "application/json",
    ) -> Reply:  # fmt: skip
        link: http.client.HTTPConnection
        if self.is_tls:
            link = http.client.HTTPSConnection(self.host, self.port, timeout=self.connect_s)
        else:
            link = http.client.HTTPConnection(self.host, self.port, timeout=self.connect_s)
        try:
            with Guard(wait_s) as guard:
                return self._exchange(link, guard, method, path, body, content_type)
        except ssl.SSLError as error:
            raise TargetError(
                "no secure connection", where=self.shown, why=_tls_reason(error),
                do="check the scheme and the certificate; SSL_CERT_FILE names another authority",
            ) from None  # fmt: skip
        except TimeoutError:
            self._timed_out(f"{method} {path} was not answered", wait_s)
        except http.client.RemoteDisconnected as error:
            self._unreachable(error)
        except (http.client.HTTPException, UnicodeError) as error:
            raise TargetError(
                "the endpoint does not speak HTTP/1.1", where=f"{self.shown}{path}",
                why=printable(f"{type(error).__name__}: {error}").strip()[:200],
                do="check the port and the scheme",
            ) from None  # fmt: skip
        except OSError as error:
            self._unreachable(error)
        finally:
            link.close()

    def _exchange(
        self, link: http.client.HTTPConnection, guard: Guard, method: str, path: str,
        body: bytes | None, content_type: str,
    ) -> Reply:  # fmt: skip
        headers = self._headers | ({"Content-Type": content_type} if body else {})
        link.connect()
        guard.watch(link.sock)
        link.request(method, self.path + path, body, headers)
        reply = link.getresponse()
        parts, size = [], 0
        while part := reply.read1(1 << 16):
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise TimeoutError
        found = {name.lower(): value for name, value in reply.getheaders()}
        if body and b'"stream": true' in body and _is_closed_by_peer(link):
            self.keeps_connections = False
        return Reply(reply.status, found, b"".join(parts))

    def _timed_out(self, what: str, wait_s: float) -> NoReturn:
        raise TargetError(
            "the endpoint does not answer", where=self.shown, why=f"{what} within {wait_s:g} s",
            do="check that the server is up and that no firewall drops the packets",
        ) from None  # fmt: skip

    def _unreachable(self, error: OSError) -> NoReturn:
        is_refused = isinstance(error, ConnectionRefusedError)
        raise TargetError(
            "the endpoint refused the connection" if is_refused else "the endpoint broke off",
            where=self.shown, why=str(error) or type(error).__name__,
            do="start the server, or check host and port",
        ) from None  # fmt: skip


class Guard:
    """Ends an exchange after wait_s however slowly bytes drip: a socket's own timeout begins anew
    with each of them. Leaving it raises TimeoutError where it had to."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s, self._sock = wait_s, None
        self._has_rung = False
        self._timer = threading.Timer(wait_s, self._ring)
        self._timer.daemon = True

    def watch(self, sock: Any) -> None:
        """From now on."""
        self._sock = sock
        sock.settimeout(self._wait_s)
        self._timer.start()

    def _ring(self) -> None:
        self._has_rung = True
        with suppress(OSError):  # the plain socket's: TLS would first say goodbye
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # type: ignore[arg-type]

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._timer.cancel()
        if self._has_rung:
            raise TimeoutError from None


def _is_closed_by_peer(link: http.client.HTTPConnection) -> bool:
    """Whether the peer closes right after its answer. One that says so and one that does not are
    alike here: some servers promise to keep a connection and close it nonetheless."""
    if link.sock is None:
        return True
    link.sock.settimeout(HASTY_S)
    try:
        return link.sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def _tls_reason(error: ssl.SSLError) -> str:
    message = getattr(error, "verify_message", "") or error.reason or str(error)
    return str(message)


def refuse(target: Target, reply: Reply, what: str, models: tuple[str, ...] = ()) -> NoReturn:
    """Raise the TargetError of an error status; the endpoint's own words are in `why`."""
    said = target.redact(" ".join(reply.text.split()))[:300]
    advice = {
        401: target.key_advice,
        403: ("the key is not allowed here", "use a key that may use this model"),
        404: (
            f"the endpoint does not know {what}",
            f"it has: {', '.join(models[:8])}" if models else "check the URL ends in /v1",
        ),
        429: ("the endpoint throttles us before any load", "wait, or raise the account's limit"),
    }
    location = reply.headers.get("location", "")
    if 300 <= reply.status < 400 and location:
        title = "the endpoint sends us elsewhere, and redirects are not followed"
        do = f"give the base URL that leads to {shown_url(location)}"
    elif reply.status >= 500:
        title, do = f"the endpoint failed with {reply.status}", "see the endpoint's log"
    else:
        title, do = advice.get(
            reply.status,
            (f"the endpoint answered {reply.status} to {what}", "see what it says above"),
        )
    raise TargetError(title, where=target.shown, why=f"status {reply.status}: {said}", do=do)
