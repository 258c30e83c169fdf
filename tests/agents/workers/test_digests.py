from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from agents.workers.digests import digest_of, settings_digest
from preprocess.exposure.acquisition import Acquisition
from preprocess.settings import AlignmentSettings, DefectSettings, GainSettings

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
    same = replace(settings, device="cpu", threads=3, device_memory_gb=2.0, gain=GainSettings(path=moved))
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
