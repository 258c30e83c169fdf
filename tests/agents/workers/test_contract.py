"""Jobs and failures are plain data: JSON carries them to any worker and back."""

from __future__ import annotations

import json

import pytest

from agents.workers.contract import AlignmentFailure, AlignmentJob, DigestJob, FailureKind, MovieDigests
from agents.workers.jobs import from_json, to_json
from preprocess.exposure.acquisition import Acquisition
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.settings import AlignmentSettings


def test_a_job_survives_json_with_its_settings() -> None:
    chosen = ChosenAlignment(
        settings=AlignmentSettings(patches=(7, 5)), flags=Acquisition(voltage_kv=300), configured=Acquisition()
    )
    job = AlignmentJob(movie="/ä/a.tiff", outputs="/results/out", settings=to_json(chosen), timeout_s=5.0)
    received = AlignmentJob.from_json(json.loads(json.dumps(job.as_json())))
    assert received == job
    assert from_json(received.settings) == chosen


@pytest.mark.parametrize("kind", FailureKind)
def test_a_failure_survives_json(kind: FailureKind) -> None:
    failure = AlignmentFailure(kind=kind, reason="too dark", hint="Open the shutter.")
    assert AlignmentFailure.from_json(json.loads(json.dumps(failure.as_json()))) == failure


def test_a_kind_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match="vanished"):
        AlignmentFailure.from_json({"kind": "vanished", "reason": "", "hint": ""})


def test_a_digest_job_and_its_answer_survive_json() -> None:
    job = DigestJob(movie="/ä/a.tiff", is_whole=True, timeout_s=5.0)
    assert DigestJob.from_json(json.loads(json.dumps(job.as_json()))) == job
    for digests in (MovieDigests(sampled_digest="a" * 64), MovieDigests(sampled_digest="a", movie_digest="b")):
        assert MovieDigests.from_json(json.loads(json.dumps(digests.as_json()))) == digests
