"""What README and docs promise of each command, as checks of what the command left and printed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import mrcfile

from tests.documentation.place import Place

Done = subprocess.CompletedProcess[str]
STEM = "FoilHole_25598436_Data_25597084_1_20260101_101010_fractions"
SESSION_FILES = Path("data/sessions/mysession/files")


def one_token(place: Place, _done: Done) -> None:
    (line,) = (place.folder / "mysession.token").read_text().splitlines()
    assert len(line) > 20


def a_healthy_receiver(place: Place, _done: Done) -> None:
    scheme = "https" if "--tls-cert" in place.started else "http"
    assert place.ask("/healthz", scheme).status_code == 200


def every_check_of_a_sound_machine(_place: Place, done: Done) -> None:
    said = done.stdout + done.stderr
    for check in ("cpu", "gpu", "work folder", "disk", "receiver", "clock", "token"):
        assert re.search(rf"^(ok|warn) +{check}", said, re.MULTILINE), said
    assert "fail" not in said


def a_plan_and_nothing_done(place: Place, done: Done) -> None:
    assert f"would align and send: {STEM}.tiff" in done.stdout
    assert re.search(r"^  dose +\S+ e/Å² a frame, .* in all \(epu-xml\)$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^  gain +.*_gain.tiff; it is named after the movie; as it lies", done.stdout, re.MULTILINE)
    assert not (place.folder / ".local").exists()


def a_micrograph_on_the_receiver(place: Place, _done: Done) -> None:
    files = {path.name for path in (place.folder / SESSION_FILES).rglob("*") if path.is_file()}
    assert {f"{STEM}{end}" for end in (".mrc", ".star", ".json", ".png")} <= files
    session = place.folder / "microscope" / "mysession"
    assert {path.name for path in session.iterdir()} == place.recorded, "the agent wrote into the microscope's folder"


def the_totals_of_one_exposure(_place: Place, done: Done) -> None:
    heading, counts = (line.split() for line in done.stdout.split("\n\n")[1].splitlines())
    assert dict(zip(heading, counts, strict=True))["released"] == "1"
    assert "1 published" in done.stdout


def the_exposures_of_the_last_hour(_place: Place, done: Done) -> None:
    (line,) = [line for line in done.stdout.splitlines() if STEM in line]
    assert line.startswith("released")


def nothing_failed(_place: Place, done: Done) -> None:
    assert "No exposure is failed or held" in done.stderr


def nothing_missing(_place: Place, done: Done) -> None:
    assert done.stdout.endswith("Nothing is missing.\n"), done.stdout


def the_receivers_totals(_place: Place, done: Done) -> None:
    assert "1 published" in done.stdout


def an_object_for_each_exposure(_place: Place, done: Done) -> None:
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["label"], one["state"]) for one in objects if "label" in one] == [(STEM, "released")]


def nothing_to_retry(_place: Place, done: Done) -> None:
    assert "nothing" in done.stdout + done.stderr


def one_would_be_done_again(_place: Place, done: Done) -> None:
    assert done.stderr == "1 exposure would be processed again as the next revision\n"


def the_next_revision_waits(place: Place, _done: Done) -> None:
    told = place.run("cryoferry status --session mysession --all --json").stdout.splitlines()
    (exposure,) = [one for one in map(json.loads, told) if one.get("label") == STEM]
    assert (exposure["state"], exposure["revision"]) == ("found", 2)


def the_threshold_is_set(_place: Place, done: Done) -> None:
    first, last = done.stdout.splitlines()
    assert first.startswith("ctf_resolution_angstrom above 8 is rejected: set by token ")
    assert last.endswith(" exposures are rejected")


def no_threshold_is_left(_place: Place, done: Done) -> None:
    assert done.stdout.splitlines()[0] == "no thresholds"


def the_session_is(state: str) -> Callable[[Place, Done], None]:
    def check(place: Place, _done: Done) -> None:
        (session,) = place.ask("/v1/sessions").json()["sessions"]
        assert (session["name"], session["state"]) == ("mysession", state)

    return check


def an_export_of_nothing(_place: Place, done: Done) -> None:
    assert done.stdout == "nothing is exported: none of 0 exposures has a registered micrograph\n"


ENDINGS = (".mrc", ".star", ".json", ".png", "_spectrum.png", "_motion.png")


def aligned(folder: str, *names: str) -> Callable[[Place, Done], None]:
    """Every output that the table of docs/alignment.md names, and an image in the micrographs."""

    def check(place: Place, _done: Done) -> None:
        for name in names:
            micrograph, _, plain = name.partition("+")
            expected = [
                f"{micrograph}{end}" for end in (".mrc", ".star", ".json", ".png", "_spectrum.png", "_motion.png")
            ]
            expected += [f"{micrograph}_noDW.mrc"] if plain else []
            assert not [one for one in expected if not (place.folder / folder / one).is_file()]
            assert mrcfile.read(place.folder / folder / f"{micrograph}.mrc").astype("f4").std() > 0

    return check


def frames_and_defects_as_asked(place: Place, done: Done) -> None:
    aligned("chosen", "movie")(place, done)
    assert '"first_frame": 2' in (place.folder / "chosen" / "movie.json").read_text()


def what_is_known_of_a_movie(place: Place, done: Done) -> None:
    assert re.search(r"^  exposure +\S+ Å \(epu-xml\), 300 kV \(epu-xml\)$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^  gain +gain.mrc; it was named; as it lies", done.stdout, re.MULTILINE), done.stdout
    assert not (place.folder / "micrographs").exists()


def a_folder_of_micrographs(place: Place, done: Done) -> None:
    aligned("micrographs", STEM)(place, done)
    listed = (place.folder / "micrographs" / "corrected_micrographs.star").is_file()
    assert listed == ("--star" in done.args[-1])
    assert "a reference image, by its name" in done.stderr
    assert ("1 of 1 movies are done already" in done.stderr) == ("--resume" in done.args[-1])


def align_results(place: Place, done: Done) -> None:
    results = json.loads((place.folder / "cryoferry-bench" / "align.json").read_text())
    assert results["runs"]
    assert (place.folder / "cryoferry-bench" / "align_cost.png").stat().st_size > 1000
    assert "cryoferry" in done.stdout + done.stderr


def a_plan(place: Place, done: Done) -> None:
    said = done.stdout + done.stderr
    assert "cryoferry" in said
    assert re.search("k3|small@128x160x4|x90MB", said), said
    assert not list((place.folder / "cryoferry-bench").rglob("k3*"))


def a_list_of_faults(place: Place, done: Done) -> None:
    assert re.search("pixels: a hot column|frames: an empty frame amid", done.stdout), done.stdout


def errors_of_a_ctf(place: Place, done: Done) -> None:
    results = json.loads((place.folder / "cryoferry-bench" / "ctf.json").read_text())
    assert [one["count"] for one in results["summaries"]] == [1]
    assert "mixed@512" in done.stdout
    assert (place.folder / "cryoferry-bench" / "ctf_errors.png").stat().st_size > 1000


def a_list_of_micrographs(_place: Place, done: Done) -> None:
    assert "null: no rings, or none that can be fitted; 40 images of 2048 x 2048 px" in done.stdout


def a_plan_of_a_session(place: Place, done: Done) -> None:
    assert re.search(r"^exposures_at_each: (4|300)$", done.stdout, re.MULTILINE)
    assert not list((place.folder / "cryoferry-bench").glob("cryoferry-flow-*"))


def the_tokens(_place: Place, done: Done) -> None:
    assert re.search(r"agent +mysession", done.stdout), done.stdout


def no_file_is_lost(_place: Place, done: Done) -> None:
    assert re.search(
        r"^\d+ committed files: 0 missing, 0 changed, 0 unreadable; 0 extra files; 0 findings about exposures$",
        done.stdout,
        re.MULTILINE,
    )


def the_movie_on_the_receiver(place: Place, _done: Done) -> None:
    assert (place.folder / SESSION_FILES / "movie.tiff").read_bytes() == (place.folder / "movie.tiff").read_bytes()


def the_folder_on_the_receiver(place: Place, _done: Done) -> None:
    names = {path.name for path in (place.folder / SESSION_FILES / "microscope" / "mysession").iterdir()}
    assert names == place.recorded


def the_session_here(place: Place, _done: Done) -> None:
    assert (place.folder / "fetched" / "movie.tiff").read_bytes() == (place.folder / "movie.tiff").read_bytes()


def nothing_different(_place: Place, done: Done) -> None:
    assert re.search(r"\b[1-9]\d* same", done.stdout + done.stderr)


def nothing_different_and_a_list(place: Place, done: Done) -> None:
    nothing_different(place, done)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=place.folder, check=True)


def every_option_with_its_source(_place: Place, done: Done) -> None:
    assert "[watch]" in done.stdout
    assert re.search(r"^# settle_seconds = 30.0$", done.stdout, re.MULTILINE)
    assert re.search(r"^port = \"\d+\"  # \$CRYOFERRY_SERVE__PORT$", done.stdout, re.MULTILINE)


def a_gain_reference_and_how_good_it_is(place: Place, done: Done) -> None:
    assert re.search(r"made from 6 movies; these movies multiply by it", done.stdout), done.stderr
    assert re.search(r"about \d+ more movies are needed", done.stdout)
    with mrcfile.open(place.folder / "estimated.mrc") as file:
        assert file.data.shape == (256, 256)


def a_gain_reference_that_is_turned(place: Place, done: Done) -> None:
    assert "tiff movies multiply by it, as it lies" in done.stdout, done.stderr
    before, after = (mrcfile.read(place.folder / name) for name in ("gain.mrc", "as-frames-lie.mrc"))
    assert abs(after - before[::-1, ::-1]).max() < 1e-5


def a_table_and_no_file(place: Place, done: Done) -> None:
    assert done.stdout.splitlines()[1].startswith("micrograph.mrc ")
    assert not list(place.folder.glob("micrograph_ctf*"))


def an_object_for_each_micrograph(_place: Place, done: Done) -> None:
    (found,) = map(json.loads, done.stdout.splitlines())
    assert (found["micrograph"], found["reliable"]) == ("images/one.mrc", False)


def spectra_and_plots(place: Place, _done: Done) -> None:
    written = {path.name for path in (place.folder / "ctf").iterdir()}
    assert written == {"one_ctf.mrc", "one_ctf.png", "one_ctf.csv", "one_ctf.json", "micrographs_ctf_all.star"}


PROMISES: dict[str, Callable[[Place, Done], None]] = {
    r"token create": one_token,
    r"serve": a_healthy_receiver,
    r"doctor": every_check_of_a_sound_machine,
    r"watch .*--dry-run": a_plan_and_nothing_done,
    r"watch (?!.*--dry-run)": a_micrograph_on_the_receiver,
    r"status --session mysession$": the_totals_of_one_exposure,
    r"status .*--failed": nothing_failed,
    r"status .*--check": nothing_missing,
    r"status .*--since": the_exposures_of_the_last_hour,
    r"status --to": the_receivers_totals,
    r"status .*--json": an_object_for_each_exposure,
    r"retry --failed": nothing_to_retry,
    r"retry --all .*--dry-run": one_would_be_done_again,
    r"retry FoilHole": the_next_revision_waits,
    r"threshold (set|list)": the_threshold_is_set,
    r"threshold remove": no_threshold_is_left,
    r"session end": the_session_is("ended"),
    r"session reopen": the_session_is("open"),
    r"session export": an_export_of_nothing,
    r"align .*-o micrographs .*--dry-run": what_is_known_of_a_movie,
    r"align .*-o micrographs(?!.*--dry-run)": a_folder_of_micrographs,
    r"align .*--out aligned": aligned("aligned", "movie"),
    r"align .*--out others": aligned("others", "second+", "third+"),
    r"align .*--out chosen": frames_and_defects_as_asked,
    r"ctf micrograph.mrc": a_table_and_no_file,
    r"ctf images .*--json": an_object_for_each_micrograph,
    r"ctf images .*--out ctf": spectra_and_plots,
    r"gain convert": a_gain_reference_that_is_turned,
    r"gain estimate": a_gain_reference_and_how_good_it_is,
    r"bench (transfer|align .*(--dry-run|--sustained))": a_plan,
    r"bench faults": a_list_of_faults,
    r"bench ctf (?!.*--dry-run)": errors_of_a_ctf,
    r"bench ctf .*--dry-run": a_list_of_micrographs,
    r"bench flow": a_plan_of_a_session,
    r"bench align (?!.*(--dry-run|--sustained))": align_results,
    r"token list": the_tokens,
    r"receiver check": no_file_is_lost,
    r"send movie": the_movie_on_the_receiver,
    r"send microscope": the_folder_on_the_receiver,
    r"fetch": the_session_here,
    r"verify (?!.*--sha256sums)": nothing_different,
    r"verify .*--sha256sums": nothing_different_and_a_list,
    r"config show": every_option_with_its_source,
}
"""What is looked at after each command, by what follows `cryoferry` in it."""


def promise_of(command: str) -> Callable[[Place, Done], None]:
    """The one promise that fits a command; a command that the documents add needs one."""
    (found,) = [check for pattern, check in PROMISES.items() if re.match(rf"cryoferry {pattern}", command)]
    return found
