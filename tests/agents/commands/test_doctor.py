"""`cryoferry doctor` and `cryoferry config show`, as commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.running import cryoferry


def findings(*arguments: str, **environment: str) -> tuple[int, dict[str, dict[str, str]]]:
    examined = cryoferry("doctor", "--json", *arguments, **environment)
    lines = [json.loads(line) for line in examined.stdout.splitlines()]
    assert lines, examined.stderr
    return examined.returncode, {line["check"]: line for line in lines}


def test_a_sound_machine(tmp_path: Path, receiver: Any) -> None:
    token = receiver.token("agent", "s")
    code, found = findings("--to", receiver.url, "--work", str(tmp_path / "work"), CRYOFERRY_TOKEN=token)
    assert code == 0
    assert {check: line["verdict"] for check, line in found.items() if check not in ("gpu", "disk")} == {
        "cpu": "ok",
        "kernels": "ok",
        "compiled": "ok",
        "work folder": "ok",
        "receiver": "ok",
        "bodies": "ok",
        "clock": "ok",
        "token": "ok",
        "version": "ok",
    }
    assert "protocol 2" in found["version"]["text"]
    assert not (tmp_path / "work").exists()


def test_compiled_code_that_cannot_be_kept_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _, found = findings("--work", str(tmp_path / "work"), NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert found["compiled"]["verdict"] == "warn"
    assert str(tmp_path / "file") in found["compiled"]["text"]
    assert "NUMBA_CACHE_DIR" in found["compiled"]["what_to_do"]


def test_each_trouble_is_named_with_what_to_do(tmp_path: Path, receiver: Any) -> None:
    code, found = findings(
        *("--to", receiver.url, "--work", str(tmp_path), "--scipion", str(tmp_path)), CRYOFERRY_TOKEN="wrong"
    )
    assert code == 1
    for check in ("token", "scipion"):
        assert found[check]["verdict"] == "fail"
        assert found[check]["what_to_do"]
    assert "wrong" not in found["token"]["text"]


def test_a_receiver_that_does_not_answer(tmp_path: Path) -> None:
    code, found = findings("--to", "http://127.0.0.1:9", "--work", str(tmp_path))
    assert code == 1
    assert found["receiver"]["verdict"] == "fail"
    shown = cryoferry("doctor", "--work", str(tmp_path))
    assert shown.returncode == 0
    assert "not checked: no URL" in shown.stdout


def test_the_configuration_is_shown_with_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cryoferry.toml").write_text('[align]\nvoltage = 200\n[watch]\nsession = "s"\n')
    shown = cryoferry("config", "show", "--json", CRYOFERRY_ALIGN__PIXEL_SIZE="0.8")
    assert shown.returncode == 0, shown.stderr
    values = {(line["section"], line["key"]): line for line in map(json.loads, shown.stdout.splitlines())}
    assert values["watch", "session"]["source"] == "cryoferry.toml"
    assert values["watch", "voltage"]["value"] == 200
    assert values["align", "pixel_size"] == {
        "section": "align",
        "key": "pixel_size",
        "value": "0.8",
        "source": "$CRYOFERRY_ALIGN__PIXEL_SIZE",
    }
    assert values["watch", "settle_seconds"]["source"] == "default"
    as_file = cryoferry("config", "show").stdout
    assert '[watch]\nsession = "s"  # cryoferry.toml\n' in as_file
    (tmp_path / "again.toml").write_text(as_file)
    again = cryoferry("--config", "again.toml", "config", "show", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[0])
