"""What becomes of a movie that the device cannot align; our CUDA code runs on the host here, over a stand-in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cuda_on_host import cuda_on_host

from preprocess.backends.contract import Backend
from preprocess.errors import DeviceLacksFeature, DeviceOutOfMemory, DeviceTooSmall
from preprocess.exposure.acquisition import Acquisition
from preprocess.movies import open_movie
from preprocess.movies.frame_groups import FrameGroups
from preprocess.movies.tiff_layout import tiff_pages
from preprocess.pipeline import memory
from preprocess.pipeline.falling_back import SaidOnce
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.overlapping import process_movies
from preprocess.pipeline.preparing import PreparedMovie
from preprocess.pipeline.process_movie import process_alone, process_movie
from preprocess.pipeline.stage_timer import StageTimer
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings, CtfSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)
NO_CTF = CtfSettings(wanted=False)
PLENTY, TINY = 2**28, 200_000  # a movie's frames take 123 kB


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    for name, seed in (("a.mrc", 1), ("b.mrc", 2), ("c.mrc", 3)):
        simulate_movie(
            SimulationSettings(height=96, width=128, frame_count=5, seed=seed, dose_per_frame_e_per_a2=5)
        ).write(folder / name)
    simulate_movie(SimulationSettings(height=96, width=128, seed=1)).write_gain(folder / "gain.mrc", movie_format="mrc")
    return folder


def any_movie_fits(_prepared: PreparedMovie, _backend: Backend) -> None:
    """Stand for an estimate of memory that refuses nothing."""


@pytest.fixture
def on(folder: Path, tmp_path: Path) -> Callable[..., ProcessedMovie]:
    said = SaidOnce()

    def run(device: str, name: str = "a.mrc", **changes: object) -> ProcessedMovie:
        settings = AlignmentSettings(
            device=device, threads=1, ctf=NO_CTF, gain=GainSettings(path=folder / "gain.mrc", orientation="given")
        )
        stages = MovieStages.chosen(tmp_path / device[:4], settings, EXPOSURE, Acquisition())
        timer = StageTimer()
        return process_alone(replace(stages, said=said, **changes), stages.prepare(folder / name, timer), timer)

    return run


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_the_cpu_stands_in_for_a_device_without_the_memory_and_says_so_once(on, tmp_path, caplog):
    with cuda_on_host(TINY) as host, caplog.at_level(logging.WARNING):
        first, second = on("auto"), on("auto", "b.mrc")
        assert host.device.highest == 0  # refused before anything was read onto it
    assert (first.device, second.device) == ("cpu", "cpu")
    (warning,) = first.warnings
    assert "aligned by the CPU" in warning.text
    assert "5 frames of 96 x 128 px need about" in warning.text
    assert second.warnings == ()
    assert [record.getMessage() for record in caplog.records] == [f"a.mrc: {warning}"]
    for name in ("a.mrc", "b.mrc"):
        on("cpu", name)
    assert contents(tmp_path / "auto") == contents(tmp_path / "cpu")


def test_a_device_that_is_full_all_of_a_sudden(on, tmp_path):
    """The estimate lets the movie in, and the device fails while it is read."""
    with cuda_on_host(TINY) as host:
        assert on("auto", check_memory=any_movie_fits).device == "cpu"
        assert host.device.highest > 0
        with pytest.raises(DeviceOutOfMemory):
            on("cuda:0", check_memory=any_movie_fits)
        gain_bytes = 96 * 128 * 4  # may be kept for the next movie; nothing else is
        assert host.backend().available_bytes() >= TINY - gain_bytes


def test_a_named_device_is_never_left(on, tmp_path):
    with cuda_on_host(TINY), pytest.raises(DeviceOutOfMemory, match="cuda:0's memory") as refused:
        on("cuda:0")
    assert "--device auto" in refused.value.hint
    assert not (tmp_path / "cuda").exists()


def test_a_number_type_that_the_device_does_not_know(on):
    with cuda_on_host(PLENTY) as host:
        host.module("sources").FRAME_TYPES.pop("int16")
        with pytest.raises(DeviceLacksFeature, match="int16"):
            on("cuda:0")
        result = on("auto")
    assert result.device == "cpu"
    assert "int16" in result.warnings[0].text


def test_each_kind_of_reason_is_said_once():
    said = SaidOnce()
    assert len(said.warnings("a", DeviceOutOfMemory("a: too little"))) == 1
    assert said.warnings("b", DeviceOutOfMemory("b: too little")) == ()
    (warning,) = said.warnings("b", DeviceLacksFeature("b: no such type"))
    assert warning.text.endswith("true of later movies too): no such type")


@pytest.mark.parametrize("part_of_two", [10.0, 0.6])
def test_movies_overlap_on_the_device_as_one_by_one(on, folder, tmp_path, part_of_two):
    settings = AlignmentSettings(
        device="cuda:0", threads=1, ctf=NO_CTF, gain=GainSettings(path=folder / "gain.mrc", orientation="given")
    )
    with cuda_on_host(PLENTY) as host:
        alone = [on("cuda:0", name) for name in ("a.mrc", "b.mrc", "c.mrc")]
        highest = host.device.highest
    with cuda_on_host(int(part_of_two * 2 * highest)):
        stages = MovieStages.chosen(tmp_path / "together", settings, EXPOSURE, Acquisition())
        ends = list(process_movies([result.movie for result in alone], stages))
    together = [end.result() for end in ends]
    assert {result.device for result in together} == {"cuda:0"}
    assert contents(tmp_path / "together") == contents(tmp_path / "cuda")


def test_movies_that_the_device_cannot_hold_go_to_the_cpu_one_by_one(on, folder, tmp_path):
    on("cpu")
    with cuda_on_host(TINY):
        settings = AlignmentSettings(
            device="auto", threads=1, ctf=NO_CTF, gain=GainSettings(path=folder / "gain.mrc", orientation="given")
        )
        stages = replace(MovieStages.chosen(tmp_path / "together", settings, EXPOSURE, Acquisition()), said=SaidOnce())
        first, second = (end.result() for end in process_movies([folder / "a.mrc", folder / "b.mrc"], stages))
    assert (first.device, second.device) == ("cpu", "cpu")
    assert (len(first.warnings), len(second.warnings)) == (1, 0), [each.text for each in first.warnings]
    assert {name: data for name, data in contents(tmp_path / "together").items() if name[0] == "a"} == contents(
        tmp_path / "cpu"
    )


def test_a_device_makes_fewer_sums_at_once_where_it_must(folder):
    movie, groups = open_movie(folder / "a.mrc"), FrameGroups.of(5, 1)
    few, many = (memory.device_need(movie, groups, sums, 1, local=True) for sums in (5, 60))
    assert 5 * 96 * 128 * 2 < few.least < few.usual < many.usual
    assert few.least == many.least


def test_what_the_estimate_refuses_could_not_be_done(on, folder):
    need = memory.device_need(open_movie(folder / "a.mrc"), FrameGroups.of(5, 1), 5, 1, local=True)
    with cuda_on_host(PLENTY) as host:
        on("cuda:0")
        assert need.usual < 1.5 * host.device.highest
    with cuda_on_host(int(0.97 * need.least)), pytest.raises(DeviceOutOfMemory):
        on("cuda:0", check_memory=any_movie_fits)


def test_what_is_only_kept_for_the_next_movie_counts_as_free(on):
    with cuda_on_host(PLENTY) as host:
        on("cuda:0")
        backend = host.backend()
        pools = backend.device.memory
        assert pools.used_bytes("plans") > 0
        assert backend.for_reading().device.kept_image.nbytes > 0
        others = sum(pools.used_bytes(purpose) for purpose in ("tables", "small"))
        assert backend.available_bytes() == PLENTY - others


def test_a_movie_waits_for_memory_only_where_it_can_come(on, folder):
    with cuda_on_host(PLENTY) as host:
        host.device.taken = PLENTY - TINY  # somebody else has it
        with pytest.raises(DeviceOutOfMemory) as now:
            on("cuda:0")
    with cuda_on_host(TINY), pytest.raises(DeviceTooSmall) as ever:
        on("cuda:0")
    assert not isinstance(now.value, DeviceTooSmall)
    assert (now.value.exit_code, ever.value.exit_code) == (5, 2)


def test_with_less_memory_the_results_are_the_same_bytes(on, folder, tmp_path):
    """Work is done in smaller parts then: no sum may depend on where one ends."""
    launches, results = [], []
    for scratch_bytes in (2**30, 1):
        with cuda_on_host(PLENTY) as host:
            host.module("device_memory").SCRATCH_BYTES = scratch_bytes
            on("cuda:0")
            launches.append(len(host.device.launches))
        results.append(contents(tmp_path / "cuda"))
    assert launches[1] > launches[0]
    assert results[1] == results[0]


def test_without_pinned_memory_copies_go_through_ordinary_memory(on, folder, tmp_path):
    results = []
    for refuses in (False, True):
        with cuda_on_host(PLENTY) as host:
            host.device.refuses_pinned = refuses
            on("cuda:0")
            assert (host.device.pinned == []) == refuses
        results.append(contents(tmp_path / "cuda"))
    assert results[1] == results[0]


def test_an_error_that_waits_to_be_told_holds_no_frames(folder, tmp_path):
    """Whoever keeps the error must not keep what it came from, on a device that the next movies need."""
    simulate_movie(SimulationSettings(height=96, width=128, frame_count=5, seed=1)).write(tmp_path / "bad.tiff")
    with (tmp_path / "bad.tiff").open("r+b") as file:
        strip = int(list(tiff_pages(file, file.seek(0, 2)))[2].strip_offsets[0])
        file.seek(strip + 100)
        file.write(b"\xff" * 100)
    with cuda_on_host(PLENTY) as host:
        settings = AlignmentSettings(device="cuda:0", threads=1)
        stages = MovieStages.chosen(tmp_path / "out", settings, EXPOSURE, Acquisition())
        (end,) = process_movies([tmp_path / "bad.tiff"], stages)
        assert "is corrupt" in str(end.exception())
        assert host.device.highest >= 5 * 96 * 128  # its frames had their place
        assert stages.backend.available_bytes() == PLENTY


def test_a_cap_on_the_device_counts(on, folder):
    settings = AlignmentSettings(
        device="cuda:0", device_memory_gb=1e-4, gain=GainSettings(path=folder / "gain.mrc", orientation="given")
    )
    with cuda_on_host(PLENTY), pytest.raises(DeviceOutOfMemory, match=r"0.0 GB are there"):
        process_movie(folder / "a.mrc", folder / "out", settings=replace(settings), acquisition=EXPOSURE)
