"""Optics groups of a set, as RELION's plugin keeps them: a STAR table in the set's acquisition, a number in each item.

Micrographs of equal optics are a group. A group never changes its number, so that what was made from the set stays
right; a new one is added at the end. RELION's plugin takes the table from the first micrograph that it is handed, so
each micrograph has the whole table.
"""

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
