"""Optics groups of a set, as RELION's plugin keeps them: a STAR table in the set's acquisition, a number in each item.

Micrographs of equal optics are a group. A group never changes its number, so that what was made from the set stays
right; a new one is added at the end. RELION's plugin takes the table from the first micrograph that it is handed, so
each micrograph has the whole table.

Groups of nearly equal beam shift, which the receiver numbers (`optics_group`), are not in the table: RELION's plugin
reads it once, when its extraction starts, and ends with an error at the first micrograph of a later group. They stand
in an attribute of their own, and in a STAR file for the plugin's protocol "assign optics groups".
"""

import os

from pyworkflow.object import Integer

from . import storage

COLUMNS = (
    "rlnOpticsGroupName",
    "rlnOpticsGroup",
    "rlnMicrographOriginalPixelSize",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnImageSize",
    "rlnImageDimensionality",
    "rlnMicrographPixelSize",
)
HEADER = "\n# version 30001\n\ndata_optics\n\nloop_\n" + "".join(
    f"_{name} #{number}\n" for number, name in enumerate(COLUMNS, 1)
)
COLUMN = "_rlnOpticsGroup"
"""The attribute of an item. A set that a version before 0.4 began does not have it: its table stays empty."""
RECEIVERS_COLUMN = "_cryoferryOpticsGroup"
"""The attribute with the receiver's number, the same as in its lists for RELION; None: it gave none."""


def optics_of(entry):
    """Return what tells groups apart, as it stands in the table."""
    acquisition = entry["acquisition"]
    values = (
        acquisition["movie_pixel_size_angstrom"],
        acquisition["voltage_kv"],
        acquisition["cs_mm"],
        acquisition["amplitude_contrast"],
    )
    return tuple(f"{value:.6f}" for value in values)


class OpticsGroups:
    """The groups in a table; an empty text has none."""

    def __init__(self, text):
        lines = (text or "").splitlines()
        self._rows = [line.split() for line in lines if line.strip() and line.lstrip()[0] not in "#_" and " " in line]

    def __len__(self):
        return len(self._rows)

    def number(self, entry, micrograph):
        """Return the number of an entry's group, which is added if there is none."""
        optics = optics_of(entry)
        for number, row in enumerate(self._rows, 1):
            if tuple(row[2:6]) == optics:
                return number
        number = len(self._rows) + 1
        size, pixel_size = str(micrograph.getXDim()), f"{entry['pixel_size_angstrom']:.6f}"
        self._rows.append([f"opticsGroup{number}", str(number), *optics, size, "2", pixel_size])
        return number

    def rows(self):
        """Return the rows of the table."""
        return self._rows

    def text(self):
        """Return the table."""
        return HEADER + "".join(" ".join(row) + "\n" for row in self._rows) + "\n"


def assign(holding, made):
    """Give items that are about to be put into a set their groups, and the set and its items the table of all groups.

    Parameters
    ----------
    holding
        The `SetOfMicrographs`; the caller writes it.
    made
        Pairs of a journal entry and its `Micrograph`.
    """
    table = holding.getAcquisition().opticsGroupInfo
    groups = OpticsGroups(table.get())
    before = len(groups)
    for entry, item in made:
        getattr(item, COLUMN).set(groups.number(entry, item))
    text = groups.text()
    if len(groups) > before:
        table.set(text)
        for item_id in sorted(holding.getIdSet()) if before else ():
            item = holding[item_id]
            item.getAcquisition().opticsGroupInfo.set(text)
            holding.update(item)
    for _, item in made:
        item.getAcquisition().opticsGroupInfo.set(text)


def receivers_group(entry):
    """Return the attribute of an entry's item."""
    return Integer(entry.get("optics_group"))


def write_star(holding, path):
    """Write the receiver's groups of a set into a STAR file, for the protocol "assign optics groups"."""
    columns = ["id", "_micName", COLUMN, RECEIVERS_COLUMN]
    if not {*columns[1:]} <= storage.columns_of(holding):
        return  # an earlier version of the plugin began the set
    rows = holding.getUniqueValues(columns)
    optics = {int(row[1]): row for row in OpticsGroups(holding.getAcquisition().opticsGroupInfo.get()).rows()}
    groups, lines = {}, []
    for name, number, receivers in zip(rows["_micName"], rows[COLUMN], rows[RECEIVERS_COLUMN]):
        if receivers not in (None, "None"):
            groups[int(receivers)] = optics[int(number)][2:]
            lines.append(f"{name} {int(receivers)}\n")
    if not lines:
        return
    with open(path + ".new", "w") as stream:
        stream.write(HEADER)
        stream.writelines(f"opticsGroup{number} {number} {' '.join(row)}\n" for number, row in sorted(groups.items()))
        stream.write("\ndata_micrographs\n\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\n")
        stream.writelines(lines)
    os.replace(path + ".new", path)
