from __future__ import annotations

import pytest

from transfer.wire.errors import VersionMismatch
from transfer.wire.versions import SpokenVersions, agreed_version, our_versions


@pytest.mark.parametrize(
    ("client", "receiver", "agreed"),
    [((1, 2), (1, 2), 2), ((1, 3), (1, 2), 2), ((1, 2), (2, 5), 2), ((2, 2), (1, 4), 2), ((1, 1), (1, 2), 1)],
)
def test_the_highest_common_version_is_used(client, receiver, agreed):
    assert agreed_version(SpokenVersions("1.0", *client), SpokenVersions("2.0", *receiver)) == agreed


def test_a_newer_client_names_the_receiver_as_the_older_one():
    with pytest.raises(VersionMismatch) as refused:
        agreed_version(SpokenVersions("2.1.0", 3, 4), SpokenVersions("1.0.3", 1, 2))
    assert "client runs cryoferry 2.1.0 (protocol version 3 to 4)" in refused.value.detail
    assert "receiver runs cryoferry 1.0.3 (protocol version 1 to 2)" in refused.value.detail
    assert "the receiver is older" in refused.value.detail
    assert "Upgrade cryoferry on the receiver's machine" in refused.value.hint


def test_an_older_client_is_named_as_the_older_one():
    with pytest.raises(VersionMismatch) as refused:
        agreed_version(SpokenVersions("1.0.3", 2, 2), SpokenVersions("2.1.0", 3, 4))
    assert "cryoferry 1.0.3 (protocol version 2)" in refused.value.detail
    assert "the client is older" in refused.value.detail
    assert "on the machine that sends" in refused.value.hint


def test_this_software_speaks_itself():
    ours = our_versions()
    assert agreed_version(ours, ours) == ours.newest
