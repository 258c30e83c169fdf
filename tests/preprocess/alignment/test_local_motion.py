"""Local motion: found where it is, and left alone where nothing but noise asks for it."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.alignment.local_motion import displacement_field
from preprocess.alignment.motion_model import LocalEvidence, MotionModel, spatial_terms, temporal_terms
from preprocess.alignment.movie_motion import MovieMotion, estimate_movie_motion
from preprocess.backends.cpu.backend import CpuBackend
from preprocess.geometry.field import DisplacementField, term_count, terms_at
from preprocess.geometry.patches import lay_patches, patch_counts
from preprocess.simulation import SimulationSettings, simulate_movie

SMALL = {"height": 512, "width": 576, "frame_count": 10, "gain": False, "hot_pixels_per_million": 0.0}


def found(settings: SimulationSettings, patches=None, threads: int = 2) -> MovieMotion:
    movie = simulate_movie(settings)
    shape = (settings.height, settings.width)
    stack = CpuBackend(threads).hold(settings.frame_count, *shape, np.dtype(np.uint8))
    for index, frame in enumerate(movie.frames()):
        stack.put(index, frame)
    electrons = settings.electrons_per_px_per_frame * settings.frame_count
    return estimate_movie_motion(stack, shape, settings.frame_count, patches, electrons, lambda _done: None)


def field_error(motion: MovieMotion, settings: SimulationSettings) -> float:
    """RMS error per axis in px on a 13 x 13 grid and in all frames, each place's mean over time removed."""
    truth = simulate_movie(settings).truth
    parts = (np.arange(13) + 0.5) / 13
    y, x = np.meshgrid(parts * settings.height, parts * settings.width, indexing="ij")
    true = np.zeros((settings.frame_count, 2, 13, 13))
    for _ in range(4):  # the truth is told by where content arrives
        places = zip(*(true + np.stack([y, x])).transpose(1, 0, 2, 3), strict=True)
        true = np.stack([np.stack(truth.displacement(t, *place)) for t, place in enumerate(places)])
    at_y, at_x = y / settings.height - 0.5, x / settings.width - 0.5
    field = motion.field.seen_from_first((settings.height, settings.width))
    terms = terms_at(at_y, at_x, field.terms)
    ours = np.stack([np.tensordot(field.y, terms, 1), np.tensordot(field.x, terms, 1)], 1)
    error = ours - true
    return float(np.sqrt(((error - error.mean(0)) ** 2).mean()))


def test_strong_local_motion_is_found() -> None:
    settings = SimulationSettings(**SMALL, seed=3, local_motion_px=1.2, dose_per_frame_e_per_a2=3.0)
    motion, whole = found(settings), found(settings, patches=(1, 1))
    assert motion.local.used
    assert motion.local.held_out_gain > 10 * motion.local.held_out_gain_error**0.5
    assert not whole.local.used
    assert field_error(motion, settings) < 0.2 < 0.25 < field_error(whole, settings)
    assert motion.whole.shifts == pytest.approx(whole.whole.shifts, abs=0.3)


@pytest.fixture(scope="module")
def doming() -> SimulationSettings:
    return SimulationSettings(
        **SMALL | {"height": 640, "width": 640},
        seed=2,
        local_motion_px=1.2,
        local_motion_kind="doming",
        dose_per_frame_e_per_a2=4.0,
    )


def test_a_dome_is_found_which_no_quadratic_expresses(doming: SimulationSettings) -> None:
    motion, stiff, whole = (found(doming, patches) for patches in (None, (3, 3), (1, 1)))
    assert motion.local.used
    assert motion.field.terms > stiff.field.terms
    errors = [field_error(result, doming) for result in (motion, stiff, whole)]
    assert errors[0] < 0.8 * errors[1] < 0.8 * errors[2]


def test_a_field_counted_from_the_first_frame_is_the_same_field() -> None:
    random = np.random.default_rng(4)
    field = DisplacementField(random.normal(0, 3, (3, 21)), random.normal(0, 3, (3, 21)))
    (by_y, by_x) = field.mean_shifts()[0]
    seen = field.seen_from_first((200, 300))
    assert seen.at(0.1, -0.2) == pytest.approx(field.relative_to_first().at(0.1 - by_y / 200, -0.2 - by_x / 300))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_faint_movie_keeps_its_whole_frame_alignment(seed: int) -> None:
    settings = SimulationSettings(**SMALL, seed=seed, dose_per_frame_e_per_a2=0.5, motion_px=4.0)
    motion, whole = found(settings), found(settings, patches=(1, 1))
    assert not motion.local.used
    assert motion.local.held_out_gain <= 4
    assert motion.field.y.tobytes() == whole.field.y.tobytes()
    assert (motion.field.y[:, 1:] == 0).all()


def test_noise_alone_moves_nothing_locally() -> None:
    frames = np.random.default_rng(1).poisson(1.0, (6, 256, 256)).astype(np.uint8)
    stack = CpuBackend(1).hold(6, 256, 256, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    motion = estimate_movie_motion(stack, (256, 256), 6, None, 6.0, lambda _done: None)
    assert not motion.local.used
    assert np.isfinite(motion.field.y).all()


@pytest.mark.parametrize("frame_count", [1, 2])
def test_one_or_two_frames_are_not_tested_for_local_motion(frame_count: int) -> None:
    settings = SimulationSettings(**SMALL | {"frame_count": frame_count}, seed=4)
    motion = found(settings)
    assert not motion.local.used
    assert "one frame" in motion.local.reason or "two frames" in motion.local.reason
    assert len(motion.field) == frame_count


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    settings = SimulationSettings(**SMALL, seed=5, local_motion_px=2.0, dose_per_frame_e_per_a2=2.0)
    one, three = found(settings, threads=1), found(settings, threads=3)
    assert one.local == three.local
    assert one.field.y.tobytes() == three.field.y.tobytes()
    assert one.field.x.tobytes() == three.field.x.tobytes()


@pytest.mark.parametrize("patches", [(2, 1), (1, 3), (5, 4)])
def test_any_number_of_patches_will_do(patches: tuple[int, int]) -> None:
    settings = SimulationSettings(**SMALL | {"frame_count": 6}, seed=6, local_motion_px=1.0)
    motion = found(settings, patches=patches)
    assert (motion.local.patches_x, motion.local.patches_y) == patches
    assert field_error(motion, settings) < 0.4


def test_patches_go_along_with_the_content_and_stay_inside() -> None:
    drift = np.array([[0.0, 0.0], [40.4, -13.0], [3.0, 300.0]])
    layout = lay_patches((400, 600), (2, 3), drift, bin_factor=2, kept=0.5)
    assert (layout.tops[1] - layout.tops[0]).tolist() == [20, 20, 20, 0, 0, 0]
    assert layout.tops.min() >= 0
    assert (layout.tops + layout.height).max() <= 400
    assert (layout.lefts + layout.width).max() <= 600
    assert layout.moved[1, 0].tolist() == [40.0, 0.0]
    assert layout.centres.mean(0) == pytest.approx([0, 0], abs=0.01)


@pytest.mark.parametrize(
    ("size", "electrons", "counts"),
    [((4092, 5760), 34, (7, 10)), ((4096, 4096), 40, (10, 10)), ((1024, 1024), 20, (9, 9)), ((1024, 1024), 3, (4, 4))],
)
def test_patches_suit_size_and_dose(size: tuple[int, int], electrons: float, counts: tuple[int, int]) -> None:
    assert patch_counts(*size, electrons) == counts


def test_temporal_terms_are_orthonormal_and_leave_out_what_does_not_change() -> None:
    terms = temporal_terms(120)
    assert terms.T @ terms == pytest.approx(np.eye(119), abs=1e-9)
    assert np.abs(terms.sum(0)).max() < 1e-9


def test_the_model_finds_what_made_the_evidence_and_drops_what_is_noise() -> None:
    random = np.random.default_rng(2)
    frames, places = 30, random.uniform(-0.5, 0.5, (24, 2))
    true = np.zeros((frames - 1, 2, 6))
    true[0, :, :] = [[5, 4, -3, 2, 1, 3], [-6, 2, 2, -4, 3, 1]]
    moved = MotionModel(true, np.ones((3, 5))).displacements(places)
    information = np.broadcast_to(np.array([[40.0, 5.0], [5.0, 30.0]]), (24, 2, 2))
    noise = np.einsum("ncd,tnd->tnc", np.linalg.cholesky(information), random.standard_normal((frames, 24, 2)))
    evidence = LocalEvidence(np.einsum("ncd,tnd->tnc", information, moved) + noise, information)
    model = MotionModel.from_shifts(np.zeros((frames, 2)), 2).updated(evidence, places)
    error = model.displacements(places) - moved
    unshrunk = np.sqrt(12 * 29 / 24 / 2 / 29 / 35)
    assert np.sqrt((error**2).mean()) < 0.5 * unshrunk
    assert model.variances[1:, 2:].max() < 0.05 * model.variances[1:, 0].min()


@pytest.mark.parametrize("degree", [2, 4, 5])
def test_the_field_is_that_of_the_model(degree: int) -> None:
    random = np.random.default_rng(3)
    model = MotionModel(random.normal(0, 3, (7, 2, term_count(degree))), np.ones((degree + 1, 3)))
    places = random.uniform(-0.5, 0.5, (9, 2))
    y, x = places.T
    field = displacement_field(model)
    terms = terms_at(y, x, field.terms)
    expected = model.displacements(places)
    assert np.stack([field.y @ terms, field.x @ terms], 2) == pytest.approx(expected, abs=1e-4)
    assert spatial_terms(places, 1).shape == (9, 3)
    edges = (np.arange(200) + 0.5) / 200 - 0.5
    grid = np.stack([axis.ravel() for axis in np.meshgrid(edges, edges, indexing="ij")], 1)
    assert field.mean_shifts() == pytest.approx(model.displacements(grid).mean(1), abs=1e-3)


def test_displacements_and_what_pulls_at_them_are_the_plain_sums_of_their_definitions() -> None:
    random = np.random.default_rng(4)
    places, terms = random.uniform(-0.5, 0.5, (9, 2)), term_count(2)
    model = MotionModel(random.normal(0, 3, (6, 2, terms)), np.full((3, 3), 1e6))
    in_space, in_time = spatial_terms(places, 2), model.in_time()
    moved = np.einsum("tk,kcs,ns->tnc", in_time, model.coefficients, in_space)
    assert model.displacements(places) == pytest.approx(moved, abs=1e-12)
    roots = random.normal(0, 2e4, (9, 2, 2))  # so much evidence that priors do not matter
    evidence = LocalEvidence(random.normal(0, 3e7, (7, 9, 2)), roots @ roots.transpose(0, 2, 1))
    curvature = np.einsum("ncd,ns,nu->csdu", evidence.information, in_space, in_space).reshape(2 * terms, -1)
    pull = np.einsum("tk,tnc,ns->kcs", in_time, evidence.gradient, in_space).reshape(6, -1)
    found = model.updated(evidence, places).coefficients
    step = np.linalg.solve(curvature, pull.T).T.reshape(found.shape)
    assert found == pytest.approx(model.coefficients + step, abs=1e-3)
