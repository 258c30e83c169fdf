"""Movies whose stages overlap come out as if each had been processed by itself."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.errors import DeviceOutOfMemory, PreprocessError, UnreadableMovie
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.memory import needed_memory
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.overlapping import process_movies
from preprocess.pipeline.preparing import prepare_movie
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, FrameSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)
PATIENCE_S = 60
MOMENT_S = 0.3
STAGE_THREADS = ("read_", "compute_", "write_")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    for name, seed in (("a.tiff", 1), ("b.mrc", 2), ("c.tiff", 3), ("d.mrc", 4)):
        simulate_movie(SimulationSettings(height=128, width=160, frame_count=6, seed=seed)).write(folder / name)
    simulate_movie(SimulationSettings(height=128, width=160, seed=1)).write_gain(
        folder / "gain.mrc", movie_format="mrc"
    )
    (folder / "bad.tiff").write_bytes((folder / "a.tiff").read_bytes()[:9000])
    return folder


class CountingBackend(CpuBackend):
    """The CPU with a memory of its own, that counts how many movies it holds."""

    def __init__(self, memory_bytes: int | None = None, most_held: int = 99) -> None:
        super().__init__(1)
        self.memory_bytes = memory_bytes
        self.most_held = most_held
        self.held: list[object] = []
        self.held_at_once: list[int] = []
        self.refused = threading.Event()

    def available_bytes(self) -> int | None:
        return self.memory_bytes

    def hold(self, *shape):
        if len(self.held) >= self.most_held:
            self.refused.set()
            raise DeviceOutOfMemory
        stack = super().hold(*shape)
        usual_release = stack.release

        def release() -> None:
            self.held = [other for other in self.held if other is not stack]
            usual_release()

        stack.release = release
        self.held.append(stack)
        self.held_at_once.append(len(self.held))
        return stack


def stages(out: Path, backend: CpuBackend | None = None, **settings: object) -> MovieStages:
    chosen = replace(AlignmentSettings(device="cpu", threads=1), **settings)
    return MovieStages(
        out_dir=out,
        settings=chosen,
        acquisition=EXPOSURE,
        configured=Acquisition(),
        backend=backend or CountingBackend(),
    )


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def threads_of_stages() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(STAGE_THREADS)]


def needed(movie: Path, backend: CpuBackend) -> int:
    prepared = prepare_movie(movie, movie.parent / "nowhere", stages(movie).settings, EXPOSURE, Acquisition())
    return needed_memory(prepared, backend).usual


@pytest.mark.parametrize("group", [1, 2])
def test_the_outputs_are_those_of_one_by_one(folder, tmp_path, group):
    movies = [folder / name for name in ("a.tiff", "b.mrc", "c.tiff", "d.mrc")]
    how = stages(
        tmp_path / "together",
        gain=GainSettings(path=folder / "gain.mrc"),
        unweighted=True,
        frames=FrameSettings(group=group),
    )
    together = [end.result() for end in process_movies(movies, how)]
    for movie, result in zip(movies, together, strict=True):
        alone = process_movie(movie, tmp_path / "alone", settings=how.settings, acquisition=EXPOSURE)
        assert (result.movie, result.shifts_y_px, result.warnings) == (movie, alone.shifts_y_px, alone.warnings)
        assert set(result.seconds) == {"read", "align", "sum", "ctf", "write"}
    assert len(contents(tmp_path / "alone")) == 40
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")
    assert max(how.backend.held_at_once) <= 2 * (2 if group > 1 else 1)
    assert how.backend.held == []


def test_a_movie_is_read_while_one_is_computed_and_one_is_written(folder, tmp_path):
    movies = [folder / name for name in ("a.tiff", "b.mrc", "c.tiff")]
    happened = {event: threading.Event() for event in [(2, "read", 1.0), (1, "align", 0.0), (0, "write", 0.0)]}
    met = []

    def tell(movie: Path, stage: str, fraction: float) -> None:
        told = (movies.index(movie), stage, fraction)
        if told in happened:
            happened[told].set()
        if told in {(1, "align", 0.0), (0, "write", 0.0)}:  # each waits until the other two go on too
            met.append(all(event.wait(PATIENCE_S) for event in happened.values()))

    ends = list(process_movies(movies, stages(tmp_path), tell))
    assert met == [True, True]
    assert [end.result().movie for end in ends] == movies


def test_with_memory_for_one_movie_the_next_is_not_held_before_it_is_released(folder, tmp_path):
    movies = [folder / name for name in ("a.tiff", "b.mrc", "c.tiff")]
    enough_for_one = CountingBackend()
    enough_for_one.memory_bytes = int(1.9 * needed(movies[0], enough_for_one))
    second_is_read = threading.Event()

    def tell(movie: Path, stage: str, fraction: float) -> None:
        if (movie, stage) == (movies[1], "read") and fraction > 0:
            second_is_read.set()
        if (movie, stage, fraction) == (movies[0], "align", 0.0):
            assert not second_is_read.wait(MOMENT_S)

    ends = list(process_movies(movies, stages(tmp_path, enough_for_one), tell))
    assert [end.exception() for end in ends] == [None] * 3
    assert enough_for_one.held_at_once == [1, 1, 1]


def test_a_hopeless_movie_is_refused_before_it_is_read(folder, tmp_path):
    tiny = CountingBackend(memory_bytes=1000)
    ends = list(process_movies([folder / "a.tiff", folder / "b.mrc"], stages(tmp_path, tiny)))
    for end in ends:
        with pytest.raises(DeviceOutOfMemory, match="6 frames of 128 x 160 px need about"):
            end.result()
    assert tiny.held_at_once == []


def test_what_only_fits_alone_is_done_alone(folder, tmp_path):
    movies = [folder / name for name in ("a.tiff", "b.mrc", "c.tiff", "d.mrc")]
    room_for_one = CountingBackend(most_held=1)  # a device that has less than it says

    first_is_computed, third_is_held, first_is_written = (threading.Event() for _ in range(3))

    def tell(movie: Path, stage: str, fraction: float) -> None:
        match (movie.name, stage, fraction):
            case ("a.tiff", "align", 0.0):
                assert room_for_one.refused.wait(PATIENCE_S)
            case ("c.tiff", "read", 0.0):
                assert first_is_computed.wait(PATIENCE_S)
            case ("a.tiff", "write", 0.0):
                first_is_computed.set()
                assert third_is_held.wait(PATIENCE_S)
            case ("a.tiff", "write", 1.0):
                first_is_written.set()
            case ("c.tiff", "align", 0.0):
                third_is_held.set()
                room_for_one.refused.clear()
                assert first_is_written.wait(PATIENCE_S)
                assert not room_for_one.refused.wait(MOMENT_S)  # the second waits to be alone

    ends = list(process_movies(movies, stages(tmp_path / "together", room_for_one), tell))
    assert [end.result().movie for end in ends] == movies
    assert set(room_for_one.held_at_once) == {1}
    for movie in movies:
        process_movie(movie, tmp_path / "alone", settings=stages(tmp_path).settings, acquisition=EXPOSURE)
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")


def test_a_bad_movie_does_not_touch_its_neighbours(folder, tmp_path):
    (tmp_path / "out" / "b.json").mkdir(parents=True)  # so that b's results cannot be written
    movies = [folder / name for name in ("a.tiff", "bad.tiff", "b.mrc", "nowhere.mrc", "c.tiff")]
    ends = list(process_movies(movies, stages(tmp_path / "out")))
    kinds = [type(end.exception()).__name__ for end in ends]
    assert kinds == ["NoneType", "UnreadableMovie", "IsADirectoryError", "UnreadableMovie", "NoneType"]
    for index, name in ((0, "a.tiff"), (4, "c.tiff")):
        process_movie(folder / name, tmp_path / "alone", settings=stages(tmp_path).settings, acquisition=EXPOSURE)
        assert ends[index].result().movie == folder / name
    together = contents_of_stems(tmp_path / "out", "ac")
    assert together == contents(tmp_path / "alone")


def contents_of_stems(out: Path, stems: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file() and path.name[0] in stems}


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_an_interrupt_ends_what_is_on_its_way(folder, tmp_path, interruption):
    movies = [folder / "a.tiff", folder / "b.mrc", folder / "c.tiff", folder / "d.mrc"]
    asked: Counter[str] = Counter()

    def named() -> object:
        for movie in movies:
            asked[movie.name] += 1
            yield movie

    leaving = threading.Event()
    told: list[tuple[str, str]] = []

    def tell(movie: Path, stage: str, fraction: float) -> None:
        told.append((movie.name, stage))
        if (movie.name, stage, fraction) == ("b.mrc", "align", 0.0):
            assert leaving.wait(PATIENCE_S)
            time.sleep(MOMENT_S)

    ends = process_movies(named(), stages(tmp_path), tell)

    def use_the_first() -> None:
        with closing(ends):
            for end in ends:
                assert end.result().movie == movies[0]
                leaving.set()
                raise interruption

    with pytest.raises(interruption):
        use_the_first()
    assert threads_of_stages() == []
    assert asked["d.mrc"] == 0
    assert ("b.mrc", "sum") not in told
    names = set(contents(tmp_path))
    assert len(names) == 9  # the first movie's, and no partial files of others
    assert {name[0] for name in names} == {"a"}


def run_alone(movie: Path, out: Path, tell: Callable[[str, float], None]) -> PreprocessError | None:
    try:
        process_movie(movie, out, settings=stages(out).settings, acquisition=EXPOSURE, progress=tell)
    except PreprocessError as error:
        return error
    return None


def test_errors_are_those_of_one_by_one(folder, tmp_path):
    (end,) = process_movies([folder / "bad.tiff"], stages(tmp_path))
    alone = run_alone(folder / "bad.tiff", tmp_path, lambda _stage, _fraction: None)
    assert isinstance(alone, UnreadableMovie)
    assert str(end.exception()) == str(alone)
