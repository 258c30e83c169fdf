"""The protocol's output sets: one set of micrographs, and one of CTFs, for each pixel size.

The sets are the truth about what is registered; everything kept in memory is read from them at the start. Each batch
opens a set, changes it and closes it, so that readers beside it are never locked out.
"""

import os

from pwem.objects import SetOfCTF, SetOfMicrographs
from pyworkflow.object import Pointer, Set

from .items import EntryRejected, make_acquisition, make_ctf, make_micrograph
from .journal import has_ctf

MICROGRAPHS, CTFS = "outputMicrographs", "outputCTF"


class Registered:
    """A registered micrograph: the suffix of its output, its id there, its revision, and whether it has a CTF."""

    def __init__(self, suffix, item_id, revision):
        self.suffix = suffix
        self.item_id = item_id
        self.revision = revision
        self.has_ctf = False


def reopened(set_class, path):
    """Return an existing set, read again from its own file."""
    reopened_set = set_class(filename=path)
    reopened_set.loadAllProperties()
    return reopened_set


def put(target, item):
    """Add an item to a set, or replace the one that has its id."""
    mapper = target._getMapper()
    has_tables = not mapper.doCreateTables
    if has_tables:
        mapper.db.setupCommands(item.getObjDict(includeClass=True))
    if has_tables and item.hasObjId() and mapper.exists(item.getObjId()):
        target.update(item)
    else:
        target.append(item)


class OutputSets:
    """The sets of one protocol run. Nothing else writes to them."""

    def __init__(self, protocol):
        self._protocol = protocol
        self._suffixes = {}  # pixel size in Å, rounded -> suffix of the outputs' names
        self._registered = {}  # micrograph's name -> Registered
        for suffix in self._existing_suffixes():
            self._read(suffix)

    def __len__(self):
        return len(self._registered)

    def holds(self, entry):
        """Return whether the micrograph is registered completely, in this revision or a newer one."""
        known = self._registered.get(entry["name"])
        return known is not None and (
            known.revision > entry["revision"]
            or (known.revision == entry["revision"] and (known.has_ctf or not has_ctf(entry)))
        )

    def register(self, entries, folder):
        """Register entries, at most one for each micrograph; return {seq: reason} of those that are rejected."""
        rejected, groups = {}, {}
        for entry in entries:
            groups.setdefault(self._pixel_size_key(entry["pixel_size_angstrom"]), []).append(entry)
        for pixel_size, group in groups.items():
            made = []
            for entry in group:
                try:
                    made.append((entry, make_micrograph(entry, folder, self._protocol._getExtraPath())))
                except EntryRejected as reason:
                    rejected[entry["seq"]] = str(reason)
            if made:
                suffix = self._suffixes.setdefault(pixel_size, self._numbered(len(self._suffixes) + 1))
                self._put_micrographs(suffix, made)
                self._put_ctfs(suffix, [(entry, item) for entry, item in made if has_ctf(entry)])
        return rejected

    def set_stream(self, state):
        """Write the stream's state (`Set.STREAM_OPEN` or `Set.STREAM_CLOSED`) into every set."""
        for suffix in self._existing_suffixes():
            for name, set_class in ((MICROGRAPHS, SetOfMicrographs), (CTFS, SetOfCTF)):
                path = self._path(name + suffix)
                if path:
                    self._protocol._updateOutputSet(name + suffix, reopened(set_class, path), state=state)

    def _existing_suffixes(self):
        suffixes, number = [], 1
        while self._path(MICROGRAPHS + self._numbered(number)):
            suffixes.append(self._numbered(number))
            number += 1
        return suffixes

    @staticmethod
    def _numbered(number):
        return "" if number == 1 else str(number)

    def _path(self, name):
        output = getattr(self._protocol, name, None)
        path = None if output is None else output.getFileName()
        return path if path and os.path.exists(path) else None

    def _read(self, suffix):
        micrographs = reopened(SetOfMicrographs, self._path(MICROGRAPHS + suffix))
        self._suffixes[self._pixel_size_key(micrographs.getSamplingRate())] = suffix
        columns = ["id", "_micName", "_cryoferryRevision"]
        if micrographs.getSize():
            rows = micrographs.getUniqueValues(columns)
            for item_id, name, revision in zip(*(rows[column] for column in columns)):
                self._forget_older(name, int(revision), suffix)
                if name not in self._registered:
                    self._registered[name] = Registered(suffix, int(item_id), int(revision))
        micrographs.close()
        ctf_path = self._path(CTFS + suffix)
        if ctf_path:
            ctfs = reopened(SetOfCTF, ctf_path)
            with_ctf = {int(item_id) for item_id in ctfs.getIdSet()}
            ctfs.close()
            for known in self._registered.values():
                known.has_ctf = known.has_ctf or (known.suffix == suffix and known.item_id in with_ctf)

    def _forget_older(self, name, revision, suffix):
        """Complete a move between sets that a crash interrupted: keep the newer revision only."""
        known = self._registered.get(name)
        if known is None:
            return
        if known.revision < revision:
            self._remove(known)
            del self._registered[name]
        else:
            older = reopened(SetOfMicrographs, self._path(MICROGRAPHS + suffix))
            item = older.getItem("_micName", name)
            item_id = item.getObjId()
            older.close()
            self._remove(Registered(suffix, item_id, revision))

    @staticmethod
    def _pixel_size_key(pixel_size_angstrom):
        return round(float(pixel_size_angstrom), 4)

    def _put_micrographs(self, suffix, made):
        name = MICROGRAPHS + suffix
        path = self._path(name)
        if path:
            micrographs = reopened(SetOfMicrographs, path)
        else:
            micrographs = self._protocol._createSetOfMicrographs(suffix)
            micrographs.setSamplingRate(made[0][0]["pixel_size_angstrom"])
            micrographs.setAcquisition(make_acquisition(made[0][0]))
        moved = []
        for entry, item in made:
            known = self._registered.get(entry["name"])
            if known and known.suffix == suffix:
                item.setObjId(known.item_id)
            elif known:
                moved.append(known)
            put(micrographs, item)
        self._protocol._updateOutputSet(name, micrographs, state=Set.STREAM_OPEN)
        for known in moved:
            self._remove(known)
        for entry, item in made:
            self._registered[entry["name"]] = Registered(suffix, item.getObjId(), entry["revision"])

    def _put_ctfs(self, suffix, made):
        if not made:
            return
        name = CTFS + suffix
        path = self._path(name)
        source = Pointer(self._protocol, extended=MICROGRAPHS + suffix)
        if path:
            ctfs = reopened(SetOfCTF, path)
        else:
            ctfs = self._protocol._createSetOfCTF(suffix)
            ctfs.setMicrographs(source)
        for entry, item in made:
            put(ctfs, make_ctf(entry, item))
        self._protocol._updateOutputSet(name, ctfs, state=Set.STREAM_OPEN)
        if not path:
            self._protocol._defineCtfRelation(source, ctfs)
        for entry, _ in made:
            self._registered[entry["name"]].has_ctf = True

    def _remove(self, known):
        """Remove a micrograph from a set, because a newer revision with another pixel size is in another set."""
        for name, set_class in ((CTFS, SetOfCTF), (MICROGRAPHS, SetOfMicrographs)):
            path = self._path(name + known.suffix)
            if not path:
                continue
            holding = reopened(set_class, path)
            item = holding[known.item_id]
            if item is not None:
                holding._getMapper().delete(item)
                holding._size.set(holding._getMapper().count())
            self._protocol._updateOutputSet(name + known.suffix, holding, state=Set.STREAM_OPEN)
