"""What lies before and after motion: each backend against a plain reference, and against the other, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
from cuda_on_host import cuda_on_host

from preprocess.backends.contract import Backend
from preprocess.backends.cpu.backend import CpuBackend
from preprocess.correction.defects import find_defects
from preprocess.geometry.block_tiles import BlockTiles, lay_block_tiles
from preprocess.geometry.replacements import find_replacements

COUNT, HEIGHT, WIDTH = 3, 70, 150  # neither is a multiple of a kernel's blocks


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def sum_of(backend: Backend, frames: np.ndarray, gain: np.ndarray | None = None):
    stack = backend.hold(*frames.shape, frames.dtype)
    for index, frame in enumerate(frames):
        stack.put(index, frame)
    stack.set_gain(None if gain is None else backend.upload(gain))
    return stack.frame_sum()


def faint(random: np.random.Generator, shape: tuple[int, ...] = (COUNT, HEIGHT, WIDTH)) -> np.ndarray:
    frames = random.poisson(9, shape).astype(np.uint8)
    frames[:, 7, 9] = 200
    frames[:, 8, 20] = 60
    frames[:, (0, 30, -1), (0, 77, -1)] = 0  # dead
    frames[:, 50:60, 3:9] = 0  # a corner in the shade: no pixel of it is dead
    return frames


def gain_of(random: np.random.Generator, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    gain = random.normal(1, 0.05, shape).astype(np.float32)
    gain[3, 4] = gain[40, 77:90] = 0
    return gain


@pytest.mark.parametrize("with_gain", [False, True])
def test_figures_are_those_of_the_believed_pixels(
    backend: Backend, random: np.random.Generator, with_gain: bool
) -> None:
    frames, gain = faint(random), gain_of(random) if with_gain else None
    values = frames.sum(0).astype(np.float32) * (1 if gain is None else gain)
    believed = np.ones((HEIGHT, WIDTH), bool) if gain is None else gain > 0
    total = sum_of(backend, frames, gain)
    assert total.shape == (HEIGHT, WIDTH)
    gone = np.array([0, 7 * WIDTH + 9, HEIGHT * WIDTH - 1])
    total.exclude(gone)
    believed.reshape(-1)[gone] = False
    good, found = values[believed].astype(np.float64), total.statistics()
    assert (found.count, found.lowest, found.highest) == (good.size, good.min(), good.max())
    assert (found.mean, found.deviation) == pytest.approx((good.mean(), good.std()), rel=1e-12)
    assert total.mean() == pytest.approx(values.mean(dtype=np.float64), rel=1e-12)
    np.testing.assert_array_equal(total.excluded(), np.flatnonzero(~believed))
    for lowest, highest in ((0, 0), (20, 25), (float(good.max()), np.inf), (1e6, np.inf), (-np.inf, np.inf)):
        expected = np.flatnonzero(believed & (values >= np.float32(lowest)) & (values <= np.float32(highest)))
        np.testing.assert_array_equal(total.between(lowest, highest), expected)


def test_without_any_pixel_there_are_no_statistics(backend: Backend, random: np.random.Generator) -> None:
    total = sum_of(backend, faint(random))
    total.exclude(np.arange(HEIGHT * WIDTH))
    assert (total.statistics().count, total.statistics().mean, total.statistics().deviation) == (0, 0, 0)
    assert total.between(-np.inf, np.inf).size == 0
    assert total.surroundings(np.array([5]), 4)[1] is None


@pytest.mark.parametrize("with_gain", [False, True])
def test_surroundings_are_means_over_boxes(backend: Backend, random: np.random.Generator, with_gain: bool) -> None:
    frames, gain = faint(random), gain_of(random) if with_gain else None
    values = frames.sum(0).astype(np.float32) * (1 if gain is None else gain)
    good = np.ones((HEIGHT, WIDTH), bool) if gain is None else gain > 0
    total = sum_of(backend, frames, gain)
    pixels = np.array([0, WIDTH - 1, 30 * WIDTH + 77, 41 * WIDTH + 80, HEIGHT * WIDTH - 1])
    around, noise = total.surroundings(pixels, 4)
    weight = scipy.ndimage.uniform_filter(good.astype(np.float64), 9, mode="reflect")
    mean = scipy.ndimage.uniform_filter(np.where(good, values, 0).astype(np.float64), 9, mode="reflect") / weight
    np.testing.assert_allclose(around, mean.reshape(-1)[pixels], rtol=1e-6)
    usual = good & (values > 0) & (mean > 0)
    assert noise == pytest.approx(((values[usual] - mean[usual]) ** 2 / mean[usual]).mean(), rel=1e-6)


def peaks_by_definition(values: np.ndarray, good: np.ndarray, slope: float, floor: float) -> np.ndarray:
    padded = np.pad(np.where(good, values, np.inf), 4, mode="symmetric")

    def moved(y: int, x: int) -> np.ndarray:
        return padded[4 + y : 4 + y + HEIGHT, 4 + x : 4 + x + WIDTH]

    steps = ((0, 4), (4, 0), (4, 4), (4, -4))
    around = np.mean([np.minimum(moved(y, x), moved(-y, -x)) for y, x in steps], 0)
    above = np.where(np.isfinite(around), values - around, 0) - 9 * slope
    return np.flatnonzero(good & (above > 5 * np.sqrt(slope * np.where(np.isfinite(around), around, 0) + floor)))


@pytest.mark.parametrize("with_gain", [False, True])
def test_peaks_and_windows_are_as_defined(backend: Backend, random: np.random.Generator, with_gain: bool) -> None:
    frames, gain = faint(random), gain_of(random) if with_gain else None
    values = frames.sum(0).astype(np.float32) * (1 if gain is None else gain)
    good = np.ones((HEIGHT, WIDTH), bool) if gain is None else gain > 0
    total = sum_of(backend, frames, gain)
    total.exclude(np.array([9 * WIDTH + 20]))
    good[9, 20] = False
    for slope, floor in ((1.0, 0.0), (0.1, 3.0), (0.0, 0.5)):
        expected = peaks_by_definition(values.astype(np.float64), good, slope, floor)
        np.testing.assert_array_equal(total.peaks(slope, floor), expected)
        assert {7 * WIDTH + 9, 8 * WIDTH + 20} <= set(expected)
    pixels = np.array([0, WIDTH - 1, 8 * WIDTH + 20, 41 * WIDTH + 80, HEIGHT * WIDTH - 1])
    padded = np.pad(np.where(good, values, np.nan), 2, constant_values=np.nan)
    cut = [padded[y : y + 5, x : x + 5].ravel() for y, x in zip(*np.divmod(pixels, WIDTH), strict=True)]
    np.testing.assert_array_equal(total.windows(pixels, 2), np.array(cut, np.float32))
    assert total.windows(pixels[:0], 2).shape == (0, 25)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("with_gain", [False, True])
def test_the_device_finds_the_very_defects_that_the_cpu_finds(
    cuda: Backend, random: np.random.Generator, with_gain: bool, dtype: str
) -> None:
    frames, gain = faint(random).astype(dtype), gain_of(random) if with_gain else None
    if dtype == "float32":
        frames *= random.uniform(0.9, 1.1, frames.shape).astype(np.float32)
    sums = [sum_of(backend, frames, gain) for backend in (CpuBackend(2), cuda)]
    assert sums[0].statistics() == sums[1].statistics()
    listed = np.array([12, 13, 14])
    on_cpu, on_device = (find_defects(total, listed) for total in sums)
    for name in ("pixels", "hot", "dead", "listed"):
        np.testing.assert_array_equal(getattr(on_device, name), getattr(on_cpu, name), err_msg=name)
    assert {7 * WIDTH + 9, 8 * WIDTH + 20} <= set(on_cpu.hot)
    assert {0, 30 * WIDTH + 77, HEIGHT * WIDTH - 1} <= set(on_cpu.dead)
    assert sums[0].statistics() == sums[1].statistics()
    assert sums[0].mean() == sums[1].mean()
    suspects = sums[0].between(0, 0)
    assert suspects.size > 10
    (around, noise), (around_there, noise_there) = (total.surroundings(suspects, 4) for total in sums)
    np.testing.assert_array_equal(around_there, around)
    assert noise_there == noise
    np.testing.assert_array_equal(sums[1].peaks(1.0, 0.1), sums[0].peaks(1.0, 0.1))
    np.testing.assert_array_equal(sums[1].raw_centre(64), sums[0].raw_centre(64))
    assert sums[1].raw_centre(64).shape == (64, 64)


def test_the_last_image_sent_up_is_kept_and_others_take_its_place(
    backend: Backend, random: np.random.Generator
) -> None:
    gain, other = gain_of(random), gain_of(random)
    first = backend.upload(gain)
    assert backend.upload(gain) is first
    replacements = find_replacements(np.flatnonzero(gain == 0), gain.shape)
    changed = backend.with_pixels(first, replacements.targets, replacements.gains(gain))
    expected = gain.copy().reshape(-1)
    expected[replacements.targets] = replacements.gains(gain)
    assert expected.min() > 0.5
    for image, wanted in ((changed, expected), (first, gain), (backend.upload(other), other)):
        found = backend.bring_down(image, float32=True).pixels()
        np.testing.assert_array_equal(found.ravel(), wanted.ravel())


def numbers_of_all_sorts(random: np.random.Generator) -> np.ndarray:
    """Floats around every number of half precision: itself, halfway to the next, and the floats beside both."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[:-1] + halves[1:]) / 2
    exact = np.concatenate([halves, middles])
    beside = [np.nextafter(exact, np.float32(limit)) for limit in (-1, 1e6)]
    tiny = np.array([0, 1e-45, 1e-38, 2.0**-25, 2.0**-24, 2.0**-14], np.float32)
    every = np.concatenate([exact, *beside, tiny, random.normal(0, 1, 5000).astype(np.float32)])
    every = np.concatenate([every, -every])
    every = every[np.abs(every) <= 65504]
    return every[: every.size // 150 * 150].reshape(-1, 150)


def test_float16_is_rounded_as_numpy_rounds(backend: Backend, random: np.random.Generator) -> None:
    image = numbers_of_all_sorts(random)
    down = backend.bring_down(backend.upload(image), float32=False)
    expected = image.astype(np.float16)
    assert down.pixels().dtype == np.float16
    np.testing.assert_array_equal(down.pixels().view(np.uint16), expected.view(np.uint16))
    assert not down.beyond_float16
    exact = expected.astype(np.float64)
    assert (down.statistics.lowest, down.statistics.highest) == (exact.min(), exact.max())
    assert (down.statistics.mean, down.statistics.deviation) == pytest.approx(
        (exact.mean(), exact.std()), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize(("value", "beyond"), [(65504.0, False), (65505.0, True), (-65510.0, True), (np.inf, True)])
def test_values_beyond_float16_keep_an_image_float32(
    backend: Backend, random: np.random.Generator, value: float, beyond: bool
) -> None:
    image = random.normal(10, 3, (HEIGHT, WIDTH)).astype(np.float32)
    image[33, 44] = value
    down = backend.bring_down(backend.upload(image), float32=False)
    assert down.beyond_float16 is beyond
    assert down.pixels().dtype == (np.float32 if beyond else np.float16)
    np.testing.assert_array_equal(down.pixels(), image.astype(down.pixels().dtype))
    assert value in {down.statistics.lowest, down.statistics.highest}
    asked = backend.bring_down(backend.upload(image), float32=True)
    assert asked.beyond_float16 is False
    np.testing.assert_array_equal(asked.pixels(), image)


@pytest.mark.parametrize("factors", [(1, 1), (2, 2), (3, 3), (4, 7), (11, 13)])
def test_boxes_are_averaged_and_smaller_ones_end_the_image(
    backend: Backend, random: np.random.Generator, factors: tuple[int, int]
) -> None:
    image = random.normal(40, 5, (HEIGHT, WIDTH)).astype(np.float32)
    found = backend.reduced(backend.upload(image), factors)
    rows, columns = (np.arange(0, size, factor) for size, factor in zip(image.shape, factors, strict=True))
    boxes = np.add.reduceat(np.add.reduceat(image.astype(np.float64), rows, 0), columns, 1)
    areas = np.outer(np.diff([*rows, HEIGHT]), np.diff([*columns, WIDTH]))
    np.testing.assert_allclose(found, boxes / areas, rtol=1e-6)
    np.testing.assert_array_equal(found, CpuBackend(1).reduced(image, factors))


@pytest.mark.parametrize(
    "tiles",
    [lay_block_tiles(HEIGHT, WIDTH, 1.1), BlockTiles((35, 75), 2, 16, (0, 9, 19), (0, 16, 33, 59), 6)],
    ids=["laid", "binned"],
)
def test_powers_of_tiles_are_added_up_by_block(
    backend: Backend, random: np.random.Generator, tiles: BlockTiles
) -> None:
    image = random.normal(40, 5, (HEIGHT, WIDTH)).astype(np.float32)
    image[5, 7], image[30, 40:43], image[60, 140] = np.nan, np.inf, 1e9
    found = backend.block_powers(backend.upload(image), tiles)
    side, kept, factor = tiles.side, tiles.kept, tiles.bin_factor
    level, reach = _level_and_reach(image)
    means = image.reshape(HEIGHT // factor, factor, WIDTH // factor, factor).mean((1, 3)) - level
    expected = np.zeros((9, 2 * kept + 1, kept + 1))
    for (top, left), (of_y, of_x), block in zip(tiles.places, tiles.window_rows, tiles.blocks.ravel(), strict=True):
        tile = means[top : top + side, left : left + side].astype(np.float64)
        good = np.isfinite(tile)
        clipped = np.where(good, np.clip(tile, -reach, reach), 0)
        filled = np.where(good, clipped, clipped.sum(1, keepdims=True) / good.sum(1, keepdims=True))
        window = np.outer(tiles.windows[of_y], tiles.windows[of_x])
        power = np.abs(scipy.fft.fft2(filled * window)) ** 2 / clipped[good].var() / (window**2).sum()
        expected[block] += np.roll(power, kept, 0)[: 2 * kept + 1, : kept + 1]
    assert found.usable.all()
    assert found.usable.shape == (len(tiles.tops), len(tiles.lefts))
    np.testing.assert_allclose(found.powers, expected, rtol=2e-3, atol=2e-4 * expected.max())
    assert found.largest_bad_share > 0


def _level_and_reach(image: np.ndarray) -> tuple[float, float]:
    """Return the median, and eight robust standard deviations, as far as every pixel is looked at."""
    finite = image[np.isfinite(image)].astype(np.float64)
    around = np.median(np.abs(finite - np.median(finite)))
    here, beside = image[:, :-1], image[:, 1:]
    both = np.isfinite(here) & np.isfinite(beside)
    level = np.median(here[both].astype(np.float64))
    between = np.median(np.abs(here[both].astype(np.float64) - beside[both])) / np.sqrt(2)
    around = np.median(np.abs(here[both] - level))
    return float(level), float(8 * 1.4826 * max(around, between))


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan], ids=str)
def test_an_image_without_values_has_no_usable_tile(backend: Backend, value: float) -> None:
    found = backend.block_powers(
        backend.upload(np.full((HEIGHT, WIDTH), value, np.float32)), lay_block_tiles(70, 150, 1)
    )
    assert not found.usable.any()
    assert not found.powers.any()


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (34, 74)])
def test_sums_of_images_are_filtered_as_on_the_cpu(
    cuda: Backend, random: np.random.Generator, shape: tuple[int, int]
) -> None:
    images = [random.normal(40, 5, (HEIGHT, WIDTH)).astype(np.float32) for _ in range(3)]
    filters = random.uniform(0, 1, (3, 64)).astype(np.float32)
    undamping = random.uniform(1, 2, (2, 33)).astype(np.float32)
    found = cuda.bring_down(cuda.filtered_sum(images, filters, shape, undamping), float32=True).pixels()
    expected = CpuBackend(2).filtered_sum(images, filters, shape, undamping)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_figures_do_not_depend_on_the_order_of_threads(random: np.random.Generator) -> None:
    image, frames = random.normal(40, 5, (HEIGHT, WIDTH)).astype(np.float32), faint(random)
    found = []
    for kernels in ("usual", "backwards"):
        with cuda_on_host(kernels=kernels) as host:
            backend = host.backend()
            total = sum_of(backend, frames)
            around, noise = total.surroundings(np.arange(300), 4)
            statistics = backend.bring_down(image, float32=False).statistics
            found.append((total.statistics(), around.tolist(), noise, statistics))
            spectra = backend.block_powers(backend.upload(image), lay_block_tiles(HEIGHT, WIDTH, 1.1))
            found[-1] += (spectra.powers.tolist(), spectra.variance)
    assert found[0] == found[1]


def test_images_on_their_way_down_outlive_what_they_are_copies_of(cuda: Backend, random: np.random.Generator) -> None:
    images = [random.normal(40, 5, (HEIGHT, WIDTH)).astype(np.float32) for _ in range(4)]
    on_their_way = [cuda.bring_down(image, float32=False) for image in images]
    for down, image in zip(on_their_way, images, strict=True):
        np.testing.assert_array_equal(down.pixels(), image.astype(np.float16))
    assert not cuda.device.downloads._copying
