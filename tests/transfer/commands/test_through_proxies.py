"""`send` and `fetch` through proxies that work, with a real receiver over TLS: every request goes the same way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme
from real_proxies import real_proxy

from tests.running import cryoferry_here
from transfer.pace import retrying
from transfer.wire.chunks import CHUNK_BYTES

SIZE_BYTES = CHUNK_BYTES + 1000  # in chunks: there are control and bulk requests
LOGIN = ("user", "p@ss:w/rd#")
QUOTED = "user:p%40ss%3Aw%2Frd%23@"
PATIENT_S = 60.0  # receiver, proxy and client share this process: on a busy machine one request took 3 s
VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


@pytest.fixture
def served(make_receiver, tmp_path):
    """A receiver over TLS, whose certificate is for localhost and 127.0.0.1."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    with (tmp_path / "cert.pem").open("wb") as file:
        file.writelines(pem.bytes() for pem in certificate.cert_chain_pems)
    return make_receiver(tls=(tmp_path / "cert.pem", tmp_path / "key.pem"))


@pytest.fixture
def run(served, tmp_path: Path, monkeypatch, capsys):
    """Return a function that runs a command with some variables set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retrying, "ONLY_ATTEMPT_S", PATIENT_S)
    monkeypatch.setenv("CRYOFERRY_TOKEN", served.token("agent", "s"))
    (tmp_path / "file.mrc").write_bytes(os.urandom(SIZE_BYTES))

    def run(*arguments: object, give_up_after: float = PATIENT_S, **variables: str):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return cryoferry_here(monkeypatch, capsys, *arguments, "--ca", "ca.pem", "--give-up-after", give_up_after)

    return run


def send(url: str) -> tuple[object, ...]:
    return ("send", "file.mrc", "--session", "s", "--to", url)


@pytest.mark.parametrize(
    ("kind", "scheme", "variable", "login"),
    [
        ("connect", "http", "HTTPS_PROXY", None), ("connect", "http", "https_proxy", LOGIN),
        ("connect", "http", "ALL_PROXY", LOGIN), ("socks5", "socks5", "ALL_PROXY", LOGIN),
        ("socks5", "socks5h", "all_proxy", None), ("socks5", "socks5h", "HTTPS_PROXY", LOGIN),
    ],
)  # fmt: skip
def test_every_request_goes_through_the_proxy(served, run, tmp_path, kind, scheme, variable, login) -> None:
    url = served.url.replace("127.0.0.1", "localhost")
    with real_proxy(kind, login) as proxy:
        named = f"{scheme}://{QUOTED if login else ''}127.0.0.1:{proxy.port}"
        done = run(*send(url), **{variable: named})
        assert done.returncode == 0, done.stdout + done.stderr
        sent_bytes = proxy.passed_bytes
        assert sent_bytes > SIZE_BYTES, "the bulk requests went through"
        assert len(proxy.targets) > 1
        assert set(proxy.targets) == {f"localhost:{served.port}"}, "the proxy looks the name up"
        done = run("fetch", "s", "--out", "out", "--from", url, **{variable: named})
        assert done.returncode == 0, done.stdout + done.stderr
        assert proxy.passed_bytes > 2 * SIZE_BYTES
        assert LOGIN[1] not in done.stdout + done.stderr
    assert (tmp_path / "out/file.mrc").read_bytes() == (tmp_path / "file.mrc").read_bytes()


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_request_goes_through_it_if_the_receiver_is_excluded(served, run, name) -> None:
    with real_proxy("connect") as proxy:
        variables = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", name: "example.org,127.0.0.0/8"}
        done = run(*send(served.url), **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not proxy.targets


@pytest.mark.parametrize(
    ("kind", "scheme", "login", "status", "said"),
    [
        ("connect", "http", LOGIN, "200 OK", "407"), ("connect", "http", None, "403 Forbidden", "403"),
        ("connect", "http", None, "502 Bad Gateway", "502"), ("socks5", "socks5h", LOGIN, "200 OK", "proxy"),
        ("connect", "socks5h", None, "200 OK", "does not speak SOCKS5"),
        ("ending", "socks5h", None, "200 OK", "ended the connection"),
    ],
)  # fmt: skip
def test_a_proxy_that_refuses_concerns_the_link(served, run, kind, scheme, login, status, said) -> None:
    with real_proxy(kind, login, status) as proxy:
        named = f"{scheme}://user:wrong@127.0.0.1:{proxy.port}"
        done = run(*send(served.url), give_up_after=0, HTTPS_PROXY=named)
        assert not proxy.targets
    assert done.returncode == 5, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert "wrong" not in done.stdout + done.stderr
