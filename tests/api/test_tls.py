"""A market that speaks TLS: the page, HTTP and the stream, for clients that trust its certificate and for no others."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from typer.testing import CliRunner

from api.cli import app
from api.client import AsyncClient, Client
from api.connection import stream_address
from api.live import Door
from tests.agents.small import ALONE, TEXT
from tests.api.live_kit import Live, running
from tests.api.test_trade import wattbook


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the certificates of an authority, `ca.pem`, and of a server at 127.0.0.1 with its key."""
    folder, made = tmp_path_factory.mktemp("tls"), trustme.CA()
    server = made.issue_cert("127.0.0.1")
    made.cert_pem.write_to_path(folder / "ca.pem")
    server.private_key_pem.write_to_path(folder / "key.pem")
    for blob in server.cert_chain_pems:
        blob.write_to_path(folder / "cert.pem", append=True)
    return folder


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Iterator[Live]:
    door = Door("127.0.0.1", 0, authority / "cert.pem", authority / "key.pem")
    with running(tmp_path_factory.mktemp("market"), 60.0, ALONE, door) as found:
        yield found


def test_who_trusts_the_certificate_reads_the_page_and_trades(live: Live, authority: Path) -> None:
    trusts = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    address = f"https://127.0.0.1:{live.port}"
    page = httpx.get(address, verify=trusts)
    assert page.status_code == 200
    assert "max-age" in page.headers["strict-transport-security"]
    with Client(address, live.tokens.issue("participant", "home-001"), tls=trusts) as client:
        assert client.buy(max(client.view.slots), 1000, 500).left == 500


def test_who_does_not_is_told_what_to_do(live: Live, authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"wss://127.0.0.1:{live.port}/v1/stream"

    async def main() -> None:
        async with AsyncClient(address):
            pass

    with pytest.raises(ConnectionError, match=r"certificate.*SSL_CERT_FILE"):
        asyncio.run(main())
    code, _, errors = wattbook("trade", address, said="slots\n")
    assert (code, "SSL_CERT_FILE" in errors) == (3, True), errors
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    code, told, errors = wattbook("trade", f"https://127.0.0.1:{live.port}", said="slots\n")
    assert (code, "closes in" in told) == (0, True), errors


def test_a_certificate_without_its_key_is_refused(authority: Path, tmp_path: Path) -> None:
    scenario = tmp_path / "small.yaml"
    scenario.write_text(TEXT)
    for options, words in (
        (["--tls-cert", "cert.pem"], "give both files"),
        (["--tls-cert", "cert.pem", "--tls-key", "nowhere.pem"], "nowhere.pem"),
        (["--tls-cert", "ca.pem", "--tls-key", "key.pem"], "ca.pem"),
    ):
        given = [str(authority / word) if word.endswith(".pem") else word for word in options]
        told = CliRunner().invoke(app, ["serve", str(scenario), "--db", str(tmp_path / "x.db"), *given])
        assert (told.exit_code, words in told.output) == (2, True), told.output


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("127.0.0.1:8000", "ws://127.0.0.1:8000/v1/stream"),
        ("http://localhost:8000/", "ws://localhost:8000/v1/stream"),
        ("https://example.org", "wss://example.org/v1/stream"),
        ("wss://example.org/markets/1/v1/stream", "wss://example.org/markets/1/v1/stream"),
    ],
)
def test_the_address_of_the_server_is_enough(given: str, meant: str) -> None:
    assert stream_address(given) == meant


def test_what_is_no_address_is_refused_at_once() -> None:
    code, _, errors = wattbook("trade", "ftp://nowhere", said="slots\n")
    assert (code, "is no address of a market, such as ws://" in errors) == (3, True), errors
