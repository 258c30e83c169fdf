from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from agents.workers.contract import DigestJob
from agents.workers.digests import digest_of, digests_of_movie, settings_digest
from preprocess.exposure.acquisition import Acquisition
from preprocess.settings import AlignmentSettings, DefectSettings, GainSettings
from transfer.wire.exposure_claim import SAMPLE_BYTES, SAMPLE_COUNT, WHOLE_UP_TO_BYTES

KNOWN = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, sources={"voltage_kv": "flag"})


@pytest.fixture
def gain(tmp_path: Path) -> Path:
    path = tmp_path / "gain.mrc"
    path.write_bytes(os.urandom(100_000))
    return path


def test_a_file_has_the_digest_that_b3sum_prints(gain: Path, tmp_path: Path) -> None:
    assert digest_of(gain) == blake3(gain.read_bytes()).hexdigest()
    (tmp_path / "empty").touch()
    assert digest_of(tmp_path / "empty") == blake3(b"").hexdigest()
    gain.write_bytes(b"another one")
    assert digest_of(gain) == blake3(b"another one").hexdigest()
    gain.unlink()
    assert digest_of(gain) is None
    assert digest_of(None) is None


def test_what_decides_nothing_changes_nothing(gain: Path, tmp_path: Path) -> None:
    settings = AlignmentSettings(gain=GainSettings(path=gain))
    moved = tmp_path / "elsewhere" / "other name.mrc"
    moved.parent.mkdir()
    moved.write_bytes(gain.read_bytes())
    gain_moved = GainSettings(path=moved, required=True, found_by="it is the only one")
    same = replace(settings, device="cpu", threads=3, device_memory_gb=2.0, gain=gain_moved)
    found = replace(KNOWN, sources={"voltage_kv": "epu-xml"}, defocus_angstrom=12000.0)
    assert settings_digest(settings, KNOWN) == settings_digest(same, found)


def test_what_decides_the_result_changes_the_digest(gain: Path, tmp_path: Path) -> None:
    (tmp_path / "defects.txt").write_text("1 2\n")
    base = AlignmentSettings()
    variants = [
        (base, KNOWN),
        (replace(base, bin_factor=2), KNOWN),
        (replace(base, gain=GainSettings(path=gain)), KNOWN),
        (replace(base, gain=GainSettings(path=gain, flip="x")), KNOWN),
        (replace(base, defects=DefectSettings(path=tmp_path / "defects.txt")), KNOWN),
        (base, replace(KNOWN, voltage_kv=200.0)),
        (base, replace(KNOWN, frame_doses_e_per_a2=(1.0, 2.0))),
    ]
    digests = {settings_digest(settings, known) for settings, known in variants}
    gain.write_bytes(b"another session's")
    digests.add(settings_digest(replace(base, gain=GainSettings(path=gain)), KNOWN))
    assert len(digests) == len(variants) + 1
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests), json.dumps(sorted(digests))


def test_the_content_of_the_sidecars_is_part_of_the_settings_digest(tmp_path: Path) -> None:
    sidecar, settings = tmp_path / "a.mrc.mdoc", AlignmentSettings()
    digests = [settings_digest(settings, KNOWN)]
    assert settings_digest(settings, KNOWN, [sidecar]) == digests[0]  # it is not there
    for content in ("PixelSpacing = 1\n", "PixelSpacing = 1\nTiltAngle = 3\n"):
        sidecar.write_text(content)
        digests.append(settings_digest(settings, KNOWN, [sidecar]))
    assert len(set(digests)) == 3


def digest_job(movie: Path, *, is_whole: bool = False) -> DigestJob:
    return DigestJob(movie=str(movie), is_whole=is_whole, timeout_s=60)


def sampled_by_hand(content: bytes) -> str:
    """Compute the sampled digest as docs/protocol.md describes it."""
    if len(content) <= 16 * 1024 * 1024:
        kept = content
    else:
        begins = [number * (len(content) - 1024 * 1024) // 15 for number in range(16)]
        kept = b"".join(content[begin : begin + 1024 * 1024] for begin in begins)
    return blake3(len(content).to_bytes(8, "little") + kept).hexdigest()


@pytest.mark.parametrize("size_bytes", [0, 1, WHOLE_UP_TO_BYTES, WHOLE_UP_TO_BYTES + 1, 40_000_003])
def test_the_digests_of_a_movie_are_those_that_the_documentation_describes(tmp_path: Path, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    (tmp_path / "a.mrc").write_bytes(content)
    digests = digests_of_movie(digest_job(tmp_path / "a.mrc", is_whole=True))
    assert digests.sampled_digest == sampled_by_hand(content)
    assert digests.movie_digest == blake3(content).hexdigest()
    assert digests_of_movie(digest_job(tmp_path / "a.mrc")).movie_digest is None


def test_a_change_in_any_sample_changes_the_sampled_digest(tmp_path: Path) -> None:
    movie, size_bytes = tmp_path / "a.mrc", SAMPLE_COUNT * SAMPLE_BYTES * 2
    with movie.open("wb") as file:
        file.truncate(size_bytes)
    seen = {digests_of_movie(digest_job(movie)).sampled_digest}
    for number in range(SAMPLE_COUNT):
        with movie.open("r+b") as file:
            file.seek(number * (size_bytes - SAMPLE_BYTES) // (SAMPLE_COUNT - 1) + number)
            file.write(b"x")
        seen.add(digests_of_movie(digest_job(movie)).sampled_digest)
    assert len(seen) == SAMPLE_COUNT + 1


def test_the_size_is_part_of_the_sampled_digest(tmp_path: Path) -> None:
    digests = set()
    for size_bytes in (0, 1, 2, WHOLE_UP_TO_BYTES * 2, WHOLE_UP_TO_BYTES * 2 + 1):
        with (tmp_path / "a.mrc").open("wb") as file:
            file.truncate(size_bytes)
        digests.add(digests_of_movie(digest_job(tmp_path / "a.mrc")).sampled_digest)
    assert len(digests) == 5


def test_a_movie_that_is_gone_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digests_of_movie(digest_job(tmp_path / "gone.mrc"))
