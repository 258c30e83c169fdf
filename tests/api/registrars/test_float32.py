from __future__ import annotations

import struct
import threading
import time
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from api.registrars import PublishedExposure, SessionPlace, float32
from api.registrars.float32 import registered_micrograph
from transfer.wire.exposure_record import ExposureRecord, FileRole


@pytest.fixture
def place(publisher: Any) -> SessionPlace:
    return SessionPlace("grid1", publisher.folder)


def exposure(publisher: Any, record: ExposureRecord, name: str = "a.mrc") -> PublishedExposure:
    micrograph = record.file(FileRole.MICROGRAPH)
    assert micrograph is not None
    return PublishedExposure(1, name, record, {FileRole.MICROGRAPH: publisher.folder / "files" / micrograph.path})


def test_float16_becomes_float32_with_the_same_values_and_pixel_size(publisher: Any, place: SessionPlace) -> None:
    published = exposure(publisher, publisher.publish("a", pixel_size=0.8345))
    with mrcfile.open(published.files[FileRole.MICROGRAPH], mode="r+") as committed:
        committed.header.nxstart = 7
        committed.header.nlabl = 1
        committed.header.label[0] = "cryoferry"
    copy = registered_micrograph(place, published, float16=False)
    assert copy == publisher.folder / "registered" / "a.mrc"
    assert mrcfile.validate(copy)
    with mrcfile.open(copy) as full, mrcfile.open(published.files[FileRole.MICROGRAPH]) as half:
        assert int(half.header.mode) == 12
        assert int(full.header.mode) == 2
        assert full.data.dtype == np.float32
        np.testing.assert_array_equal(full.data, half.data.astype(np.float32))
        assert full.voxel_size.x == pytest.approx(0.8345)
        assert full.header.cella == half.header.cella
        assert full.header.nxstart == 7
        assert list(full.header.label) == list(half.header.label)


@pytest.mark.parametrize(("dtype", "float16"), [(np.float32, False), (np.float16, True)])
def test_what_readers_can_read_is_not_copied(publisher: Any, place: SessionPlace, dtype: type, float16: bool) -> None:
    published = exposure(publisher, publisher.publish("a", dtype=dtype))
    handed_out = registered_micrograph(place, published, float16=float16)
    assert handed_out.samefile(published.files[FileRole.MICROGRAPH])


def test_registrars_that_want_a_copy_at_the_same_time_get_the_same(
    publisher: Any, place: SessionPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = exposure(publisher, publisher.publish("a"))
    write, written, both = float32._write_float32, [], threading.Barrier(2)

    def write_slowly(source: Path, target: Path) -> None:
        written.append(target)
        write(source, target)
        time.sleep(0.2)  # long enough for the other one to come here, too

    monkeypatch.setattr(float32, "_write_float32", write_slowly)

    def register(_: int) -> Path:
        both.wait()
        return registered_micrograph(place, published, float16=False)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(register, range(2))
    assert first == second
    assert len(written) == 1
    assert mrcfile.validate(first)


def test_a_copy_is_made_once_and_a_revision_has_its_own(publisher: Any, place: SessionPlace) -> None:
    published = exposure(publisher, publisher.publish("a"))
    first = registered_micrograph(place, published, float16=False)
    inode = first.stat().st_ino
    assert registered_micrograph(place, published, float16=False).stat().st_ino == inode
    newer = exposure(publisher, publisher.publish("a", revision=2, seed=2))
    second = registered_micrograph(place, newer, float16=False)
    assert second == publisher.folder / "registered" / "revision-2" / "a.mrc"
    assert first.stat().st_ino == inode
    assert not list((publisher.folder / "registered").rglob(".*.new"))


def test_names_are_made_readable(publisher: Any, place: SessionPlace) -> None:
    published = exposure(publisher, publisher.publish("a"), name="Foil Hole (1).mrc")
    name = registered_micrograph(place, published, float16=False).name
    assert name.startswith("Foil_Hole__1_-")
    assert name.endswith(".mrc")


def test_a_cut_micrograph_is_refused_and_leaves_nothing(publisher: Any, place: SessionPlace) -> None:
    published = exposure(publisher, publisher.publish("a"))
    committed: Path = published.files[FileRole.MICROGRAPH]
    committed.write_bytes(committed.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"."):
        registered_micrograph(place, published, float16=False)
    assert not (publisher.folder / "registered" / "a.mrc").exists()


def test_an_exposure_without_micrograph_is_refused(publisher: Any, place: SessionPlace) -> None:
    record = publisher.publish("a").model_copy(update={"exposure_id": uuid.uuid4()})
    with pytest.raises(FileNotFoundError, match="no micrograph"):
        registered_micrograph(place, PublishedExposure(1, "a.mrc", record, {}), float16=False)


def promise(path: Path, side: int, *, whole: bool) -> None:
    """Have a header promise side x side px; `whole`: the file has them, as a hole."""
    with path.open("r+b") as stream:
        stream.write(struct.pack("<2i", side, side))
        if whole:
            stream.truncate(1024 + side * side * 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("agreed", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_a_header_that_promises_too_much_is_refused(
    publisher: Any, place: SessionPlace, dtype: type, *, agreed: bool, whole: bool
) -> None:
    """2³⁰ px, whether the record agrees and whether the file has them: refused by the header, without reading them."""
    side = 2**15
    record = publisher.publish("a", dtype=dtype)
    published = exposure(publisher, record)
    promise(published.files[FileRole.MICROGRAPH], side, whole=whole)
    if agreed:
        size = {"micrograph_width_px": side, "micrograph_height_px": side}
        published = exposure(publisher, record.model_copy(update=size))
    reason = "more than any camera" if agreed else "its header promises 32768 x 32768 x 1 px, its record 96 x 64"
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"a.mrc is not registered.*{reason}"):
        registered_micrograph(place, published, float16=False)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 2**24
    assert not (publisher.folder / "registered" / "a.mrc").exists()


def test_modes_and_sizes_that_no_micrograph_has(publisher: Any, place: SessionPlace) -> None:
    for label, offset, value, reason in (
        ("mode", 12, 4, "mode 4 is no mode"),
        ("stack", 8, 3, "96 x 64 x 3 px"),
        ("cut", 92, 4096, r"promises 29696 bytes, the file has 25600"),
    ):
        published = exposure(publisher, publisher.publish(label, dtype=np.float32))
        with published.files[FileRole.MICROGRAPH].open("r+b") as stream:
            stream.seek(offset)
            stream.write(struct.pack("<i", value))
        with pytest.raises(ValueError, match=reason):
            registered_micrograph(place, published, float16=True)
