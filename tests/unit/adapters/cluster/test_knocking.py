"""A cluster that is not there, or is somebody else's, is told apart at once."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from icn.adapters.cluster.knocking import knock
from icn.adapters.cluster.settings import TlsFiles
from support.postgres_certificates import Authority, authority, certificate_for


def files(folder: Path, issuer: Authority, address: str = "127.0.0.1") -> TlsFiles:
    folder.mkdir()
    certificate, key = certificate_for(issuer, address)
    for name, content in (("crt", certificate), ("key", key), ("ca", issuer.certificate_pem)):
        (folder / name).write_bytes(content)
    return TlsFiles(certificate=str(folder / "crt"), key=str(folder / "key"), authority=str(folder / "ca"))


@contextmanager
def head(tls: TlsFiles | None) -> Iterator[int]:
    """Takes one connection, with TLS on both sides as Ray does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    if tls is None:
                        connection.sendall(b"HTTP/1.1 400 no TLS here\r\n\r\n")
                        return
                    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.authority)
                    context.load_cert_chain(tls.certificate, tls.key)
                    context.verify_mode = ssl.CERT_REQUIRED
                    context.wrap_socket(connection, server_side=True).close()

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            serving.join()


@pytest.fixture
def ours() -> Authority:
    return authority("ours")


def test_a_head_of_ours_is_talked_to(tmp_path: Path, ours: Authority) -> None:
    with head(files(tmp_path / "head", ours)) as port:
        assert knock("127.0.0.1", port, files(tmp_path / "node", ours)) == ""


def test_without_tls_it_is_enough_that_somebody_is_there() -> None:
    with head(None) as port:
        assert knock("127.0.0.1", port, None) == ""


def test_where_nobody_listens_it_is_said(tmp_path: Path, ours: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "Connection refused" in knock("127.0.0.1", port, files(tmp_path / "node", ours))


def test_a_head_of_another_authority_is_not_trusted(tmp_path: Path, ours: Authority) -> None:
    with head(files(tmp_path / "head", authority("theirs"))) as port:
        why = knock("127.0.0.1", port, files(tmp_path / "node", ours))
    assert why.startswith("its certificate is not to be trusted")


def test_a_head_with_the_certificate_of_another_address_is_not_trusted(tmp_path: Path, ours: Authority) -> None:
    with head(files(tmp_path / "head", ours, "10.0.0.9")) as port:
        why = knock("127.0.0.1", port, files(tmp_path / "node", ours))
    assert "IP address mismatch" in why


def test_a_head_without_tls_is_found_out(tmp_path: Path, ours: Authority) -> None:
    with head(None) as port:
        assert knock("127.0.0.1", port, files(tmp_path / "node", ours)).startswith("TLS with it fails")
