"""Which hosts are this machine, and which URLs a token may be sent to."""

import pytest

from transfer.wire.addresses import check_url, is_loopback
from transfer.wire.errors import BadUrl


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "LocalHost"),
        *("127.0.0.1", "127.9.9.9", "127.255.255.255"),
        *("::1", "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "[::FFFF:127.0.0.1]"),
    ],
)
def test_this_machine_is_known_however_it_is_written(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "example.org", "localhost.example.org", "127.0.0.1.example.org", "receiver.localhost"),
        *("localhost.", "127.0.0.1."),  # looked up in DNS
        *("0.0.0.0", "::", "[::]", "128.0.0.1", "::2", "::ffff:192.0.2.1", "[127.0.0.1", "::1]", "2130706433"),
    ],
)
def test_any_other_host_is_another_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:9", "http://127.9.9.9", "http://[::1]:9", "http://LOCALHOST:9/x"),
        *("http://[::ffff:127.0.0.1]:9", "HTTP://localhost", "https://example.org", "https://example.org:8443/prefix/"),
    ],
)
def test_a_url_that_keeps_the_token_secret_is_taken_as_it_is(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.org", "http://192.0.2.1:8000", "http://localhost.example.org"),
        *("http://127.0.0.1.example.org", "http://localhost.:80", "http://0.0.0.0:8000", "http://[2001:db8::1]:80"),
        *("ftp://localhost", "localhost:8000", "127.0.0.1", "http://", "https://", "https://:443", ""),
        *("https://user:password@example.org", "http://localhost@example.org", "http://example.org@localhost"),
        *("https://example.org/?a=b", "https://example.org/#a", "https://example.org/?", "https://example.org/#"),
        *("http://[::1", "https://example.org:port", "https://example.org:99999"),
        *("http://localhost\\@example.org", "http://local\thost", "http://localhost\n", " http://localhost"),
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(BadUrl) as caught:
        check_url(url)
    assert caught.value.exit_code == 2


def test_the_hint_says_what_to_write_instead() -> None:
    with pytest.raises(BadUrl) as caught:
        check_url("http://example.org")
    assert "https://example.org" in caught.value.hint
    assert "--clear-text" in caught.value.hint


def test_the_user_may_answer_for_the_network_in_between() -> None:
    assert check_url("http://example.org:8000", clear_text=True) == "http://example.org:8000"
    with pytest.raises(BadUrl):
        check_url("ftp://example.org", clear_text=True)
