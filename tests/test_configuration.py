"""The configuration: precedence, inheritance, unknown names, secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from configuration import ConfigError, ConfiguredValue, load_configuration

KNOWN = {
    "align": {"pixel_size", "voltage", "out"},
    "send": {"to", "session", "token_file", "parallel"},
    "watch": {"to", "session", "token_file", "pixel_size", "voltage", "settle_seconds"},
    "session.start": {"to", "title"},
    "session": set(),
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cryoferry.toml"
    path.write_text(text)
    return path


def test_environment_wins_over_the_file_and_watch_inherits(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        '[align]\npixel_size = 0.8\nvoltage = 300\nout = "x"\n[send]\nto = "http://a"\nparallel = 3\n'
        '[watch]\nvoltage = 200\nsettle-seconds = 3\n[session.start]\ntitle = "lysozyme"\n',
    )
    configuration = load_configuration(file, {"CRYOFERRY_ALIGN__PIXEL_SIZE": "1.1", "CRYOFERRY_TOKEN": "x"}, KNOWN)
    assert configuration.default_map() == {
        "align": {"pixel_size": "1.1", "voltage": 300, "out": "x"},
        "send": {"to": "http://a", "parallel": 3},
        "watch": {"to": "http://a", "pixel_size": "1.1", "voltage": 200, "settle_seconds": 3},
        "session": {"start": {"title": "lysozyme", "to": "http://a"}},
    }
    assert configuration.sources()["watch"]["pixel_size"] == ConfiguredValue(
        "1.1", "$CRYOFERRY_ALIGN__PIXEL_SIZE", "align"
    )
    assert configuration.sources()["watch"]["voltage"] == ConfiguredValue(200, str(file), "watch")


@pytest.mark.parametrize("key", ["from", "from_"])
def test_an_option_whose_name_python_reserves_is_written_as_on_the_command_line(tmp_path: Path, key: str) -> None:
    known = {**KNOWN, "fetch": {"from_", "out"}}
    of_file = load_configuration(write(tmp_path, f'[fetch]\n{key} = "u"\n'), {}, known)
    assert of_file.default_map() == {"fetch": {"from_": "u"}}
    assert of_file.sections["fetch"]["from_"].place("from_").startswith("`from` in [fetch]")
    of_environment = load_configuration(write(tmp_path, ""), {"CRYOFERRY_FETCH__FROM": "u"}, known)
    assert of_environment.default_map() == {"fetch": {"from_": "u"}}


def test_commands_about_an_agent_know_where_it_works_but_not_how_it_aligns(tmp_path: Path) -> None:
    known = {**KNOWN, "retry": {"work", "session", "voltage"}, "status": {"to", "session"}}
    file = write(tmp_path, '[align]\nvoltage = 300\n[send]\nto = "u"\n[watch]\nsession = "s"\nvoltage = 200\n')
    assert load_configuration(file, {}, known).default_map() == {
        "align": {"voltage": 300},
        "send": {"to": "u"},
        "watch": {"to": "u", "session": "s", "voltage": 200},
        "retry": {"session": "s"},
        "status": {"to": "u", "session": "s"},
        "session": {"start": {"to": "u"}},
    }


@pytest.mark.parametrize(
    ("text", "environ", "where", "nearest"),
    [
        ("[align]\npixelsize = 1\n", {}, "cryoferry.toml", "pixel_size"),
        ("[wach]\nsession = 'a'\n", {}, "[wach]", "watch"),
        ("[session.strat]\ntitle = 'a'\n", {}, "[session.strat]", "session.start"),
        ("", {"CRYOFERRY_SEND__TOKENFILE": "a"}, "CRYOFERRY_SEND__TOKENFILE", "token_file"),
        ("", {"CRYOFERRY_SENT__TO": "a"}, "CRYOFERRY_SENT__TO", "send"),
        ("[align]\nzzz = 1\n", {}, "zzz", "Known: out, pixel_size, voltage"),
    ],
)
def test_an_unknown_name_is_refused_and_the_nearest_named(
    tmp_path: Path, text: str, environ: dict[str, str], where: str, nearest: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_configuration(write(tmp_path, text), environ, KNOWN)
    assert refused.value.exit_code == 2
    assert where in str(refused.value)
    assert nearest in refused.value.hint


@pytest.mark.parametrize(
    ("text", "said"), [("[align]\nout = x\n", "line 2, column 7"), ("out = 1\n", "outside of any section")]
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"cryoferry\.toml") as refused:
        load_configuration(write(tmp_path, text), {}, KNOWN)
    assert said in str(refused.value)


def test_a_missing_file_is_an_error_only_when_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_configuration(None, {"HOME": str(tmp_path)}, KNOWN).path is None
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read"):
        load_configuration(tmp_path / "nowhere.toml", {}, KNOWN)
    with pytest.raises(ConfigError, match=r"elsewhere\.toml cannot be read"):
        load_configuration(None, {"CRYOFERRY_CONFIG": str(tmp_path / "elsewhere.toml")}, KNOWN)


def test_the_file_of_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".config/cryoferry").mkdir(parents=True)
    (tmp_path / ".config/cryoferry/config.toml").write_text("[align]\nvoltage = 300\n")
    assert load_configuration(None, {"HOME": str(tmp_path)}, KNOWN).default_map() == {
        "align": {"voltage": 300},
        "watch": {"voltage": 300},
    }


def test_secrets_are_not_shown() -> None:
    assert ConfiguredValue("s3cret", "f").shown("token") == "***"
    assert ConfiguredValue("/run/token", "f").shown("token_file") == "/run/token"
    assert ConfiguredValue("postgresql://me:s3cret@host/db", "f").shown("database") == "postgresql://me:***@host/db"
