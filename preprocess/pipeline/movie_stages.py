"""The stages of one movie. Each makes a value for the next: prepared, held on the device, computed, written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from preprocess.backends.choose import choose_backend
from preprocess.backends.contract import Backend
from preprocess.computed_movie import ComputedMovie
from preprocess.exposure.acquisition import Acquisition
from preprocess.gains.finding import ReferenceFinder
from preprocess.gains.found_settings import settings_of_movie
from preprocess.outputs.all_outputs import processed_movie, write_outputs
from preprocess.pipeline.computing import compute_movie
from preprocess.pipeline.falling_back import SAID, SaidOnce
from preprocess.pipeline.gain_orientations import GainOrientations
from preprocess.pipeline.holding import HeldMovie, hold_movie
from preprocess.pipeline.memory import refuse_too_large
from preprocess.pipeline.preparing import PreparedMovie, prepare_movie
from preprocess.pipeline.stage_timer import StageTimer
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieStages:
    """What is the same for all movies of a batch, and the stages that each goes through.

    Each stage may run in a thread of its own: one movie is read while another is computed and a third written.

    Attributes
    ----------
    folders : Mapping[Path, Path]
        Where the outputs of a movie go, if not to `out_dir`.
    acquisition, configured : Acquisition
        What the caller and the configuration say about the exposures; the former wins.
    backend : Backend
        Where the movies are computed.
    check_memory : Callable[[PreparedMovie, Backend], None]
        Raises DeviceOutOfMemory for a movie that the backend's memory cannot hold.
    orientations : GainOrientations
        What is decided about the gain reference for all of them.
    finder : ReferenceFinder | None
        Finds each movie's gain reference and defects, where the settings name none; None: nobody looks for them.
    said : SaidOnce
        Which reasons for using the CPU have been reported; one for the whole process unless another is given.
    """

    out_dir: Path
    settings: AlignmentSettings
    acquisition: Acquisition
    configured: Acquisition
    backend: Backend
    check_memory: Callable[[PreparedMovie, Backend], None] = refuse_too_large
    orientations: GainOrientations = field(default_factory=GainOrientations)
    finder: ReferenceFinder | None = None
    said: SaidOnce = SAID
    folders: Mapping[Path, Path] = field(default_factory=dict)

    @classmethod
    def chosen(
        cls,
        out_dir: Path,
        settings: AlignmentSettings,
        acquisition: Acquisition,
        configured: Acquisition,
        orientations: GainOrientations | None = None,
        finder: ReferenceFinder | None = None,
    ) -> MovieStages:
        """Return the stages on the device that the settings name.

        Raises
        ------
        DeviceError
            There is no such device, or it does not answer.
        """
        backend = choose_backend(settings.device, settings.threads, settings.device_memory_gb)
        return cls(
            out_dir=out_dir,
            settings=settings,
            acquisition=acquisition,
            configured=configured,
            backend=backend,
            orientations=orientations or GainOrientations(),
            finder=finder,
        )

    @property
    def may_use_cpu(self) -> bool:
        """Return whether the CPU may replace the device: only if the user named none."""
        return self.settings.device == "auto" and self.backend.name != "cpu"

    def on_cpu(self) -> MovieStages:
        """Return the same stages on the CPU."""
        return replace(self, backend=choose_backend("cpu", self.settings.threads))

    def with_folders(self, folders: Mapping[Path, Path]) -> MovieStages:
        """Return the same stages for movies whose outputs go to folders of their own."""
        return replace(self, folders=folders)

    def folder(self, movie_path: Path) -> Path:
        """Return the folder of a movie's outputs."""
        return self.folders.get(movie_path, self.out_dir)

    def prepare(self, movie_path: Path, timer: StageTimer) -> PreparedMovie:
        """Read a movie's headers."""
        with timer.beginning_of("read"):
            settings = self.settings
            if self.finder is not None:
                settings = settings_of_movie(settings, movie_path, self.finder)
            return prepare_movie(movie_path, self.folder(movie_path), settings, self.acquisition, self.configured)

    def read(self, prepared: PreparedMovie, timer: StageTimer) -> HeldMovie:
        """Read a movie's frames onto the device; another thread may use them once this is done."""
        with timer.stage("read"):
            return hold_movie(
                prepared.movie,
                prepared.used,
                prepared.groups,
                self.backend,
                prepared.settings,
                lambda fraction: timer.report("read", fraction),
                prepared.frame_doses,
                self.orientations,
            )

    def compute(self, prepared: PreparedMovie, held: HeldMovie, timer: StageTimer) -> ComputedMovie:
        """Align and sum; the frames are released."""
        return compute_movie(prepared, held, self.backend, timer)

    def write(self, computed: ComputedMovie, timer: StageTimer) -> ProcessedMovie:
        """Estimate the CTF, which uses the CPU alone, and write all outputs, each whole and durable."""
        if self.settings.ctf.wanted:
            from preprocess.pipeline.ctf_stage import with_ctf  # noqa: PLC0415 - it imports scipy.ndimage, which is slow

            with timer.stage("ctf"):
                computed = with_ctf(computed)
        with timer.stage("write"):
            written = write_outputs(computed, self.folder(computed.movie.path))
        return processed_movie(computed, written, timer.seconds)
