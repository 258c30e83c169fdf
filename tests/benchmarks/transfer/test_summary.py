"""Medians, ratios and the sentence of `cryoferry bench transfer`."""

from __future__ import annotations

import pytest

from benchmarks.errors import NothingToMeasure
from benchmarks.transfer.paths.link import Link, parse_link
from benchmarks.transfer.paths.payload import parse_payload
from benchmarks.transfer.paths.runs import TransferRun
from benchmarks.transfer.summary import grouped, sentence


def run(path, mb_per_s, *, control="cubic", start_s=1.0, **more):
    """A run of 1000 MB with some start-up."""
    wall_s = 1000 / mb_per_s + start_s
    facts = {"command": "", "verifies": "", "total_bytes": 10**9, "carried_bytes": 10**9, "digests_match": True}
    return TransferRun(path, "10x100MB", control, **{**facts, "wall_s": wall_s, "start_s": start_s, **more})


def test_links_as_people_write_them():
    assert parse_link("1gbit:100ms:0.1%") == Link(1e9, 0.1, 0.001)
    assert parse_link("250 Mbit : 20ms") == Link(250e6, 0.02, 0.0)
    assert str(parse_link("1gbit:100ms:0.1%")) == "1 Gb/s, 100 ms, 0.1 % loss"
    assert parse_link("1gbit:100ms").queue_bytes == 12_500_000


@pytest.mark.parametrize(
    "text", ["", "1gbit", "fast:slow", "1gbit:100ms:0.1", "1gbit:-5ms", "100gbit:1ms", "1gbit:1ms:90%"]
)
def test_what_is_no_link(text):
    with pytest.raises(NothingToMeasure):
        parse_link(text)


def test_payloads_as_people_write_them():
    assert parse_payload("20x90MB") == (20, 90_000_000)
    assert parse_payload("3x0.5GB") == (3, 500_000_000)


def test_start_up_is_taken_off_by_its_median():
    runs = [run("bbcp -s 4", 100, start_s=1.0), run("bbcp -s 4", 100, start_s=1.0), run("bbcp -s 4", 100, start_s=1.0)]
    (group,) = grouped(runs, {"cubic": 120e6})
    (row,) = group.rows
    assert row.rates == pytest.approx((100e6, 100e6, 100e6))
    assert (row.runs, row.start_s) == (3, 1.0)
    assert group.limit_bytes_per_s == 120e6


def test_a_lead_is_told_with_the_part_that_is_bbrs():
    runs = [run("cryoferry", 100), run("bbcp -s 16", 10), run("rsync daemon", 2, digests_match=None, stopped=True)]
    runs += [run("cryoferry", 100, control="bbr"), run("bbcp -s 16", 80, control="bbr")]
    told = sentence(grouped(runs, {"cubic": 110e6, "bbr": 110e6}))
    assert told.startswith("Use cryoferry on this link: 100 MB/s, every byte checked, 91 % of what iperf3 gets")
    assert "10 times bbcp -s 16 (10 MB/s)" in told
    assert "with BBR as both hosts' default the lead over the best other, bbcp -s 16, is 1.2 times" in told


def test_a_faster_path_is_named_even_if_it_is_not_ours():
    told = sentence(grouped([run("cryoferry", 500), run("rsync daemon", 1000), run("cp (no network)", 3000)], {}))
    assert told.startswith("rsync daemon is the fastest here (1,000 MB/s, unchecked); cryoferry reaches 50 % of that")


def test_as_fast_is_not_faster():
    told = sentence(grouped([run("cryoferry", 98), run("rsync daemon", 100)], {}))
    assert "as fast as rsync daemon" in told


def test_wrong_bytes_win_nothing():
    told = sentence(grouped([run("cryoferry", 50), run("bbcp -s 4", 100, digests_match=False)], {}))
    assert told.startswith("Use cryoferry")
    told = sentence(grouped([run("cryoferry", 50, digests_match=False)], {}))
    assert told.startswith("No path carried the files whole")


def test_runs_that_are_too_short_have_no_rate():
    (group,) = grouped([run("cryoferry", 1e5)], {})
    assert group.rows[0].rates is None
    assert group.rows[0].failure is None


def test_whole_but_too_quick_is_not_a_failure():
    told = sentence(grouped([run("cryoferry", 1e5), run("bbcp -s 4", 1e5), run("cp (no network)", 1e5)], {}))
    assert told.startswith("2 of 2 paths carried the files whole, but too quickly for a rate")
    assert "more or larger --files" in told


@pytest.mark.parametrize(
    ("others_mb_per_s", "told"),
    [
        (
            10,
            "Of what ran, cryoferry, TLS is the fastest here: 100 MB/s, unchecked; plain cryoferry has no rate here.",
        ),
        (400, "; cryoferry, TLS reaches 25 % of that, plain cryoferry has no rate here."),
    ],
)
def test_cryoferry_in_another_form_was_among_it(others_mb_per_s, told):
    runs = [run("cryoferry, TLS", 100), run("rsync daemon", others_mb_per_s)]
    assert sentence(grouped(runs, {})).endswith(told)
