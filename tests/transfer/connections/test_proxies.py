"""Which proxy is used for a URL: every form of the variables, and what is said of those that cannot be used."""

from __future__ import annotations

import importlib.util

import httpx
import pytest

from transfer.connections import proxies
from transfer.connections.proxies import proxy_for
from transfer.wire.errors import BadProxy

PROXY = "http://proxy.example.org:3128"
RECEIVER = "https://vm.example.org:8642"


def chosen(url: str = RECEIVER, **environment: str) -> str | None:
    """Return the URL of the proxy for a receiver."""
    proxy = proxy_for(httpx.URL(url), environment)
    return None if proxy is None else str(proxy.url)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_each_variable_counts_for_https_alone(name: str) -> None:
    assert chosen(**{name: PROXY}) == PROXY
    assert chosen("http://127.0.0.1:8642", **{name: PROXY}) is None


def test_the_first_variable_that_is_not_empty_counts() -> None:
    assert chosen(HTTP_PROXY=PROXY, http_proxy=PROXY) is None
    assert chosen(https_proxy="", HTTPS_PROXY=" ", ALL_PROXY=PROXY) == PROXY
    assert chosen(HTTPS_PROXY=PROXY, ALL_PROXY="http://other:1", https_proxy="http://first:1") == "http://first:1"


@pytest.mark.parametrize(
    ("excluded", "is_excluded"),
    [
        ("*", True), ("other.org, *", True), ("vm.example.org", True), ("VM.Example.ORG.", True),
        (".example.org", True), ("example.org", True), ("*.example.org", True), ("org", True),
        ("vm.example.org:8642", True), ("vm.example.org:443", False), ("https://vm.example.org", True),
        ("xample.org", False), ("a.vm.example.org", False), ("a b,vm.example.org c", True), ("", False),
        ("10.0.0.0/8", False), (",,", False), (".", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_names_in_no_proxy(name: str, excluded: str, is_excluded: bool) -> None:
    assert (chosen(HTTPS_PROXY=PROXY, **{name: excluded}) is None) == is_excluded


@pytest.mark.parametrize(
    ("host", "excluded", "is_excluded"),
    [
        ("10.1.2.3:8642", "10.1.2.3", True), ("10.1.2.3:8642", "10.1.2.3:8642", True),
        ("10.1.2.3", "10.1.2.3:1", False),
        ("10.1.2.3", "10.0.0.0/8", True), ("10.1.2.3", "192.168.0.0/16", False), ("10.1.2.3", "2.3", False),
        ("10.1.2.3", "10.1.2.3/nonsense", True), ("[::1]:8642", "::1", True), ("[::1]", "[::1]", True),
        ("[::1]:8642", "[::1]:8642", True), ("[::1]:8642", "[::1]:1", False), ("[2001:db8::1]", "2001:db8::/32", True),
        ("[2001:db8::1]", "2001:DB8:0::1", True), ("localhost:8642", "localhost", True),
        ("localhost", "127.0.0.1", False),
    ],
)  # fmt: skip
def test_addresses_in_no_proxy(host: str, excluded: str, is_excluded: bool) -> None:
    assert (chosen(f"https://{host}", HTTPS_PROXY=PROXY, NO_PROXY=excluded) is None) == is_excluded


def test_forms_of_a_proxy() -> None:
    assert chosen(HTTPS_PROXY="proxy.example.org:3128") == PROXY
    assert chosen(HTTPS_PROXY=f"  {PROXY}/ ") == f"{PROXY}/"
    for scheme in ("https", "socks5", "socks5h"):
        assert chosen(ALL_PROXY=f"{scheme}://proxy:1080") == f"{scheme}://proxy:1080"


def test_a_password_is_used_and_never_shown() -> None:
    proxy = proxy_for(httpx.URL(RECEIVER), {"HTTPS_PROXY": "http://user:p%40ss@proxy:3128"})
    assert proxy is not None
    assert (proxy.url.username, proxy.url.password) == ("user", "p@ss")
    assert str(proxy) == "http://proxy:3128 (from HTTPS_PROXY)"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("socks4://proxy:1080", "socks4 is not supported"), ("socks4a://proxy:1080", "socks4a is not supported"),
        ("socks://proxy:1080", "socks is not supported"), ("ftp://proxy:21", "ftp:// is no kind of proxy"),
        ("http://proxy:port", "its port is not a number"), ("http://", "it is not a URL"), ("http://a b:1", "is not"),
        ("http://user:secret@proxy:99999999", "its port"), ("://proxy", "is not|is no kind"),
    ],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_named_with_its_variable(value: str, named: str) -> None:
    with pytest.raises(BadProxy, match=named) as caught:
        chosen(ALL_PROXY=value)
    assert caught.value.exit_code == 2
    assert "ALL_PROXY" in str(caught.value)
    assert "NO_PROXY=vm.example.org" in caught.value.hint
    assert "secret" not in f"{caught.value}{caught.value.hint}"
    assert chosen(ALL_PROXY=value, NO_PROXY="vm.example.org") is None


def test_socks_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies.importlib.util, "find_spec", lambda name: None if name == "socksio" else importlib)
    with pytest.raises(BadProxy, match=r"ALL_PROXY=socks5://proxy:9: .* the package socksio") as caught:
        chosen(ALL_PROXY="socks5://user:secret@proxy:9")
    assert "cryoferry[socks]" in caught.value.hint
