"""A client's request without a client, and a peer that says on its sockets whatever it is told."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_usage_provider.http.exchange import Exchange
from airflow_usage_provider.http.session import Request, Session

Ask = Callable[..., Exchange]


@pytest.fixture
def session() -> Iterator[Session]:
    with Session() as session:
        yield session


@pytest.fixture
def ask(session: Session) -> Ask:
    def send(url: str, **settings: Any) -> Exchange:
        settings = {
            "timeout": (5.0, 5.0),
            "seconds": 30.0,
            "error": lambda kind, message, **details: kind(message, vendor="v", **details),
            **settings,
        }
        asked = {name: settings.pop(name) for name in ("params", "headers") if name in settings}
        return Exchange(settings.pop("session", session), Request("GET", url, **asked), **settings)

    return send


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, signed by nobody else."""
    pytest.importorskip("cryptography")
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    encoding = serialization.Encoding.PEM
    pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + built.public_bytes(encoding))
    return path


class Peer:
    """
    Answers each request with the next bytes of ``answers``, the last of them for ever; keeps the connection unless
    the bytes are followed by None.

    ``requests`` are the targets, each with the number of the connection that it came on.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.answers: list[list[bytes | None]] = []
        self.requests: list[tuple[int, str]] = []
        self.connections = 0
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(1) or b"\r\n\r\n"
                if head == b"\r\n\r\n":
                    return
                self.requests.append((number, head.split(b" ")[1].decode()))
                for piece in self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]:
                    if piece is None:
                        connection.close()
                        return
                    connection.sendall(piece)


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Start peers: ``peer([b"HTTP/1.1 200 OK\\r\\n…"], […])``, one list a request."""
    peers: list[Peer] = []

    def start(*answers: list[bytes | None], tls: ssl.SSLContext | None = None) -> Peer:
        peers.append(Peer(tls))
        peers[-1].answers = list(answers)
        return peers[-1]

    yield start
    for each in peers:
        each.close()
