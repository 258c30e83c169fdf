"""`cryoferry doctor` and `cryoferry config show`, as commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from preprocess.backends.compiled.available import kernel_trouble
from preprocess.backends.compiled.chosen_kernels import KERNELS_VARIABLE
from tests.running import cryoferry, cryoferry_here


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
        **({"kernels": "warn", "compiled": "ok"} if kernel_trouble() else {"kernels": "ok"}),
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
    variables = {KERNELS_VARIABLE: "numba", "NUMBA_CACHE_DIR": str(tmp_path / "file")}
    _, found = findings("--work", str(tmp_path / "work"), **variables)
    assert found["compiled"]["verdict"] == "warn"
    assert str(tmp_path / "file") in found["compiled"]["text"]
    assert "NUMBA_CACHE_DIR" in found["compiled"]["what_to_do"]


def test_it_says_which_kernels_align_movies(tmp_path: Path) -> None:
    if kernel_trouble():
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    _, found = findings("--work", str(tmp_path))
    assert found["kernels"]["text"] == "movies are aligned by kernels in C"
    assert "compiled" not in found, "nothing is compiled by numba"
    code, found = findings("--work", str(tmp_path), **{KERNELS_VARIABLE: "numba"})
    assert code == 0
    assert found["kernels"]["text"].startswith("movies are aligned by kernels of numba 0.")
    assert found["kernels"]["what_to_do"] == "Unset CRYOFERRY_KERNELS."
    assert found["compiled"]["verdict"] == "ok"


def test_nvcomp_that_is_wanted_and_not_there_is_a_warning(tmp_path: Path) -> None:
    code, found = findings("--work", str(tmp_path), CRYOFERRY_NVCOMP="ON")
    assert (code, found["nvcomp"]["verdict"]) == (0, "warn")
    assert "nvidia-libnvcomp-cu12" in found["nvcomp"]["text"]
    assert "unset CRYOFERRY_NVCOMP" in found["nvcomp"]["what_to_do"]


def test_numba_must_work_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setenv(KERNELS_VARIABLE, "numba")
    done = cryoferry_here(monkeypatch, capsys, "doctor", "--json", "--work", tmp_path)
    (kernels,) = (line for line in map(json.loads, done.stdout.splitlines()) if line["check"] == "kernels")
    assert (done.returncode, kernels["verdict"]) == (1, "fail")
    assert "numba cannot be loaded" in kernels["text"]
    assert kernels["what_to_do"]


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
