"""What `make` would run, asked with `make -n`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCIPION = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/integration").glob("test_scipion*.py"))


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments, "SCIPION=0"], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            "",
            [
                "tests/faults",
                "tests/contract/wire/test_upload_machine.py",
                "tests/contract/wire/test_claim_machine.py",
                "tests/contract/wire/test_openapi.py",
                *SCIPION,
                "tests/integration/test_relion_recipe.py",
            ],
        ),
        ("scipion", SCIPION),
        ("faults", ["tests/faults"]),
        ("agent-kills", ["tests/faults/test_agent_kills.py"]),
        ("both-killed", ["tests/faults/test_both_killed.py"]),
        ("everything-killed", ["tests/faults/test_everything_killed.py"]),
        ("kills", ["tests/faults/test_agent_kills.py", "tests/faults/test_receiver_killed.py"]),
        ("power-cuts", ["tests/faults/test_power_cuts.py"]),
        ("injection", ["tests/faults/test_injected_faults.py"]),
        ("lying-disk", ["tests/faults/test_lying_disk.py"]),
        ("upload-machine", ["tests/contract/wire/test_upload_machine.py"]),
        ("claim-machine", ["tests/contract/wire/test_claim_machine.py"]),
        ("openapi", ["tests/contract/wire/test_openapi.py"]),
        ("relion", ["tests/integration/test_relion_recipe.py"]),
        (
            "gpu-host",
            [
                "tests/preprocess/backends/cuda/test_kernels_race_free.py",
                "tests/preprocess/backends/cuda/test_streams_on_host.py",
            ],
        ),
    ],
)
def test_a_campaign_runs_the_part_that_was_named(part: str, expected: list[str]) -> None:
    shown = make("-n", "campaign", f"PART={part}").stdout
    assert "CRYOFERRY_CAMPAIGN=1" in shown
    paths = [word for word in shown.partition("-m pytest")[2].split() if word.startswith("tests/")]
    assert paths == expected
    assert all((ROOT / path).exists() for path in paths)


def test_a_campaign_names_its_parts_when_there_is_no_such_part() -> None:
    refused = make("campaign-part", "PART=link")
    assert refused.returncode == 2
    assert "no part 'link'" in refused.stderr
    assert "upload-machine" in refused.stderr
    assert make("campaign-part", "PART=faults").returncode == 0
