"""Turns journal entries into Scipion's objects.

The columns of a set are fixed by the first item ever written to it: every item carries the same attributes, in the
same order, whatever its entry knows.
"""

import base64
import os
import shutil
import struct

from pwem.objects import Acquisition, CTFModel, Image, Micrograph, MovieAlignment
from pyworkflow.object import Float, Integer, String

from .journal import figures_of, has_ctf
from .optics import COLUMN as OPTICS_GROUP
from .optics import RECEIVERS_COLUMN as RECEIVERS_GROUP
from .optics import receivers_group

PICTURES = {
    "thumbnail": ("thumbnail", "_thumbnail"),
    "psdCorr": ("spectrum", "_psd"),
    "plotGlobal": ("motion_plot", "_global_shifts"),
}
"""Attribute that Scipion's viewers, CTF monitor and HTML report read: key of the entry, ending of the file's name."""

POWER_SPECTRUM = "_powerSpectra"
"""Attribute of RELION's plugin for the spectrum that CTFFIND takes in place of the micrograph."""
EMPTY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
"""A grey pixel."""
EMPTY_MRC_SIZE_PX = 64


class EntryRejected(Exception):
    """This journal entry cannot be registered."""


def link_into(source, target):
    """Make `target` a relative link to `source`, so that both may be moved together.

    It is made in one step: a reader sees the old link or the new one.
    """
    if not os.path.exists(source):
        raise EntryRejected(f"{source} does not exist")
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    # the system follows ".." from where folders really are
    source = os.path.join(os.path.realpath(os.path.dirname(source)), os.path.basename(source))
    way = os.path.relpath(source, os.path.realpath(folder))
    if os.path.islink(target) and os.readlink(target) == way:
        return target
    temporary = target + ".new"
    if os.path.lexists(temporary):
        os.remove(temporary)
    os.symlink(way, temporary)
    os.replace(temporary, target)
    return target


def links_of(entry, folder, extra):
    """Return (source, link) of each file of an entry that is linked into the project and not copied, by its key."""
    stem = os.path.join(place_of(entry, extra), os.path.splitext(entry["name"])[0])
    links = {"file": (os.path.join(folder, entry["file"]), os.path.join(place_of(entry, extra), entry["name"]))}
    for key, ending in (("ctf_spectrum", "_ctf.mrc"), ("power_spectrum", "_PS.mrc")):
        source = os.path.join(folder, entry.get(key) or "")
        if os.path.isfile(source) and (key != "ctf_spectrum" or has_ctf(entry)):
            links[key] = source, stem + ending
    return links


def renew_links(entry, folder, extra):
    """Make the links of a registered entry again that lead nowhere, or are not relative; files in their place stay."""
    for source, link in links_of(entry, folder, extra).values():
        leads = os.path.exists(link)
        is_right = leads and not (os.path.islink(link) and os.path.isabs(os.readlink(link)))
        if not is_right and os.path.exists(source):
            link_into(source, link)


def copy_into(source, target):
    """Copy a picture into the project: Scipion's viewers and its export do not follow links (I2PC/scipion 1443)."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = target + ".new"
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    return target


def picture_of(entry, key, ending, folder, extra):
    """Return the `Image` of an entry's picture, copied as `NAME_ENDING`; of an empty picture if it has none.

    The file is always there, because Scipion's monitors stop at a picture without a file.
    """
    picture = os.path.join(folder, entry.get(key) or "")
    if os.path.isfile(picture):
        name = os.path.splitext(entry["name"])[0] + ending + os.path.splitext(picture)[1]
        return Image(location=copy_into(picture, os.path.join(place_of(entry, extra), name)))
    return Image(location=empty_picture(extra, "no_picture.png", lambda: base64.b64decode(EMPTY_PNG)))


def empty_picture(extra, name, content):
    """Return the path of a picture that stands for those that are not there."""
    empty = os.path.join(extra, name)
    if not os.path.exists(empty):
        with open(empty + ".new", "wb") as stream:
            stream.write(content())
        os.replace(empty + ".new", empty)
    return empty


def empty_mrc():
    """Return a small black image as an MRC file (mode 2)."""
    size = EMPTY_MRC_SIZE_PX
    words = [size, size, 1, 2, 0, 0, 0, size, size, 1]
    cell = [float(size), float(size), 1.0, 90.0, 90.0, 90.0]
    header = struct.pack("<10i6f3i", *words, *cell, 1, 2, 3).ljust(208, b"\0") + b"MAP \x44\x44\0\0"
    return header.ljust(1024, b"\0") + bytes(4 * size * size)


def make_acquisition(entry):
    """Return how the exposure was taken (kV, mm, e/Å²). An unknown magnification is 0, an unknown dose None."""
    known = entry["acquisition"]
    return Acquisition(
        voltage=known["voltage_kv"],
        sphericalAberration=known["cs_mm"],
        amplitudeContrast=known["amplitude_contrast"],
        # with None, Scipion would take the set for one without acquisition
        magnification=known.get("magnification") or 0.0,
        doseInitial=known.get("pre_exposure_e_per_a2") or 0.0,
        dosePerFrame=known.get("dose_per_frame_e_per_a2"),
    )


def make_alignment(entry):
    """Return the shifts (px of the movie as recorded) that move each frame's content back onto the first one's.

    So the plugins of RELION and MotionCor store them, and RELION's polishing reads them from a set. The journal says
    where the content lies, which is the opposite.
    """
    shifts = entry["shifts"]
    first = shifts["first_frame"]
    back = {axis: [0.0 - value for value in shifts[axis]] for axis in ("x_px", "y_px")}  # 0.0 - 0.0 is not -0.0
    alignment = MovieAlignment(
        first=first, last=first + len(back["x_px"]) - 1, xshifts=back["x_px"], yshifts=back["y_px"]
    )
    alignment.setRoi([0, 0, 0, 0])
    return alignment


def place_of(entry, extra):
    """Return the folder for an entry's files: each later revision has its own."""
    return extra if entry["revision"] == 1 else os.path.join(extra, f"revision-{entry['revision']}")


def make_micrograph(entry, folder, extra):
    """Return the `Micrograph` of an entry.

    Parameters
    ----------
    entry
        A `micrograph` entry of the journal.
    folder
        Folder that the entry's paths are relative to.
    extra
        The protocol's `extra` folder, relative to the project.

    Raises
    ------
    EntryRejected
        The micrograph's file is missing.
    """
    name = entry["name"]
    links = links_of(entry, folder, extra)
    micrograph = Micrograph(location=link_into(*links["file"]))
    micrograph.setMicName(name)
    micrograph.setSamplingRate(entry["pixel_size_angstrom"])
    micrograph.setAcquisition(make_acquisition(entry))
    figures = figures_of(entry)
    micrograph._rlnAccumMotionTotal = Float(figures.get("motion_total_angstrom"))
    micrograph._rlnAccumMotionEarly = Float(figures.get("motion_early_angstrom"))
    micrograph._rlnAccumMotionLate = Float(figures.get("motion_late_angstrom"))
    micrograph._alignment = make_alignment(entry)
    for attribute, (key, ending) in PICTURES.items():
        setattr(micrograph, attribute, picture_of(entry, key, ending, folder, extra))
    setattr(micrograph, POWER_SPECTRUM, power_spectrum_of(links))
    setattr(micrograph, OPTICS_GROUP, Integer())  # given when the micrograph is put into its set
    setattr(micrograph, RECEIVERS_GROUP, receivers_group(entry))
    micrograph._cryoferryMovie = String(entry["movie"])
    micrograph._cryoferryExposure = String(entry["exposure_id"])
    micrograph._cryoferryRevision = Integer(entry["revision"])
    micrograph._cryoferryDigest = String(entry["digest"])
    return micrograph


def power_spectrum_of(links):
    """Return the `Image` of a power spectrum, with the pixel size of its header; without a file if there is none."""
    if "power_spectrum" not in links:
        return Image()
    path = link_into(*links["power_spectrum"])
    with open(path, "rb") as stream:
        header = stream.read(52)
    spectrum = Image(location=path)
    spectrum.setSamplingRate(struct.unpack_from("<f", header, 40)[0] / struct.unpack_from("<i", header)[0])
    return spectrum


def leave_out_unused(item):
    """Remove the power spectrum from the first item of a set that has none, so that no program offers to use it."""
    for holder in (item, getattr(item, "_micObj", None)):
        spectrum = getattr(holder, POWER_SPECTRUM, None)
        if spectrum is not None and not spectrum.getFileName():
            delattr(holder, POWER_SPECTRUM)


def make_ctf(entry, micrograph, folder, extra):
    """Return the `CTFModel` (Å, degrees) of an entry that has one; it carries its micrograph's id.

    An estimate that is not reliable stands as it was found, with 0 in `_cryoferryReliable`. The picture of the fit is
    linked as `NAME_ctf.mrc`, as Scipion's protocols name it; without one it is a black picture, because the CTF
    monitor stops at a CTF without a picture.
    """
    figures = figures_of(entry)
    ctf = CTFModel()
    ctf.setObjId(micrograph.getObjId())
    ctf.setStandardDefocus(
        figures["ctf_defocus_u_angstrom"], figures["ctf_defocus_v_angstrom"], figures["ctf_astigmatism_angle_degrees"]
    )
    ctf.setResolution(figures.get("ctf_resolution_angstrom"))
    ctf.setFitQuality(figures.get("ctf_fit_quality"))
    ctf.setPhaseShift(figures.get("ctf_phase_shift_degrees") or 0.0)
    ctf.setMicrograph(micrograph)
    links = links_of(entry, folder, extra)
    picture = link_into(*links["ctf_spectrum"]) if "ctf_spectrum" in links else None
    ctf.setPsdFile(picture or empty_picture(extra, "no_picture.mrc", empty_mrc))
    ctf._rlnIceRingDensity = Float(figures.get("ice_ring_density"))  # the name that Scipion's CTFFIND plugin gives it
    ctf._cryoferryReliable = Integer(figures.get("ctf_reliable", 1))
    ctf._cryoferryDefocusError = Float(figures.get("ctf_defocus_error_angstrom"))
    return ctf


def fit_columns(item, labels, within=""):
    """Remove what an item has and its set has no columns for: an earlier version of the plugin began the set."""
    for name, attribute in list(item.getAttributesToStore()):
        if within + name not in labels:
            delattr(item, name)
        else:
            fit_columns(attribute, labels, within + name + ".")
