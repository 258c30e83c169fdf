"""The protocol's output sets: one set of micrographs, and one of CTFs, for each pixel size.

The sets are the truth about what is registered; everything kept in memory is read from them at the start. Each batch
opens a set, changes it and closes it, so that readers beside it are never locked out.
"""

import os

from pwem.objects import CTFModel, SetOfCTF, SetOfMicrographs
from pyworkflow.object import Pointer, Set

from . import optics, storage
from .items import (
    EntryRejected,
    fit_columns,
    leave_out_unused,
    make_acquisition,
    make_ctf,
    make_micrograph,
    renew_links,
)
from .journal import has_ctf
from .older_sets import has_older_sign, moves, turn_shifts
from .verdicts import comment_on_ctf, comment_on_micrograph, settle

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


def put(target, item, comment):
    """Add an item to a set, or replace the one that has its id; enabled if there is no comment, or a person says so."""
    has_columns = storage.has_columns(target)
    if has_columns:
        fit_columns(item, storage.columns_of(target))
        storage.expect(target, item)
    if has_columns and item.hasObjId() and item.getObjId() in target:
        take_over(item, target[item.getObjId()])
        settle(item, comment)
        target.update(item)
    else:
        if not has_columns:
            leave_out_unused(item)
        settle(item, comment)
        target.append(item)


def take_over(item, earlier):
    """Leave an item enabled or disabled as it was in its earlier revision."""
    item.setEnabled(earlier.isEnabled())
    item.setObjComment(earlier.getObjComment())


class OutputSets:
    """The sets of one protocol run. Nothing else adds to them; persons may enable and disable their items.

    Parameters
    ----------
    protocol
        The run.
    verdicts
        The `Verdicts` that say which items are enabled.
    """

    def __init__(self, protocol, verdicts):
        self._protocol = protocol
        self._verdicts = verdicts
        self._suffixes = {}  # pixel size in Å, rounded -> suffix of the outputs' names
        self._registered = {}  # micrograph's name -> Registered
        self._corrected = set()  # names of the outputs whose shifts are known to have the right sign
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

    def renew_links(self, entries, folder):
        """Make links of registered entries again that lead nowhere: the project or the data folder was moved."""
        for entry in entries:
            known = self._registered.get(entry["name"])
            if known is not None and known.revision == entry["revision"]:
                renew_links(entry, folder, self._protocol._getExtraPath())

    def correct_shifts(self, entries):
        """Turn the shifts of sets that an older version of the plugin wrote; the entries of their items show which."""
        for entry in entries:
            known = self._registered.get(entry["name"])
            if known is None or known.revision != entry["revision"] or not moves(entry):
                continue
            self._correct_output(MICROGRAPHS + known.suffix, SetOfMicrographs, known, entry)
            if known.has_ctf:
                self._correct_output(CTFS + known.suffix, SetOfCTF, known, entry)

    def _correct_output(self, output, set_class, known, entry):
        if output in self._corrected:
            return
        self._corrected.add(output)
        holding = reopened(set_class, self._path(output))
        if has_older_sign(holding[known.item_id], entry):
            turn_shifts(holding)
            self._protocol._updateOutputSet(output, holding, state=Set.STREAM_OPEN)
        else:
            holding.close()

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
                earlier = self._put_micrographs(suffix, made)
                self._put_ctfs(suffix, [(entry, item) for entry, item in made if has_ctf(entry)], folder, earlier)
                self._remove_earlier(suffix, [entry for entry, _ in made], earlier)
        return rejected

    def judge(self, names):
        """Enable and disable micrographs, and their CTFs, by their verdicts; return those that a person holds."""
        held = set()
        for suffix in self._existing_suffixes():
            here = {name: self._registered[name] for name in names if name in self._registered}
            here = {name: known for name, known in here.items() if known.suffix == suffix}
            with_ctf = {name: known for name, known in here.items() if known.has_ctf}
            held |= self._judge(MICROGRAPHS + suffix, SetOfMicrographs, here)
            held |= self._judge(CTFS + suffix, SetOfCTF, with_ctf)
        return held

    def _judge(self, output, set_class, here):
        if not here:
            return set()
        held, changed = set(), False
        holding = reopened(set_class, self._path(output))
        for name, known in here.items():
            item = holding[known.item_id]
            comment = self._comment(name, item)
            if settle(item, comment):
                holding.update(item)
                changed = True
            if item.isEnabled() == bool(comment):
                held.add(name)
        if changed:
            self._protocol._updateOutputSet(output, holding, state=Set.STREAM_OPEN)
        else:
            holding.close()
        return held

    def _comment(self, name, item):
        verdict = self._verdicts.on(name)
        return comment_on_ctf(verdict, item) if isinstance(item, CTFModel) else comment_on_micrograph(verdict)

    def set_stream(self, state):
        """Write the stream's state (`Set.STREAM_OPEN` or `Set.STREAM_CLOSED`) into every set."""
        if state == Set.STREAM_CLOSED:
            self.write_optics()
        for suffix in self._existing_suffixes():
            for name, set_class in ((MICROGRAPHS, SetOfMicrographs), (CTFS, SetOfCTF)):
                path = self._path(name + suffix)
                if path:
                    self._protocol._updateOutputSet(name + suffix, reopened(set_class, path), state=state)

    def write_optics(self):
        """Write the receiver's optics groups of each set into a STAR file in the protocol's `extra` folder."""
        for suffix in self._existing_suffixes():
            micrographs = reopened(SetOfMicrographs, self._path(MICROGRAPHS + suffix))
            optics.write_star(micrographs, self._protocol._getExtraPath(f"optics_groups{suffix}.star"))
            micrographs.close()

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
            revisions = {ctf.getObjId(): ctf.getMicrograph()._cryoferryRevision.get() for ctf in ctfs.iterItems()}
            ctfs.close()
            for known in self._registered.values():
                if known.suffix == suffix and known.item_id in revisions:
                    known.has_ctf = revisions[known.item_id] == known.revision
                    if not known.has_ctf:  # a crash left it behind
                        self._remove(known, CTFS, SetOfCTF)

    def _forget_older(self, name, revision, suffix):
        """Complete a move between sets that a crash interrupted: keep the newer revision only."""
        known = self._registered.get(name)
        if known is None:
            return
        if known.revision < revision:
            self._remove_both(known)
            del self._registered[name]
        else:
            older = reopened(SetOfMicrographs, self._path(MICROGRAPHS + suffix))
            item = older.getItem("_micName", name)
            item_id = item.getObjId()
            older.close()
            self._remove_both(Registered(suffix, item_id, revision))

    @staticmethod
    def _pixel_size_key(pixel_size_angstrom):
        return round(float(pixel_size_angstrom), 4)

    def _put_micrographs(self, suffix, made):
        """Add or replace micrographs; return what was registered of them before, by name."""
        name = MICROGRAPHS + suffix
        path = self._path(name)
        if path:
            micrographs = reopened(SetOfMicrographs, path)
        else:
            micrographs = self._protocol._createSetOfMicrographs(suffix)
            micrographs.setSamplingRate(made[0][0]["pixel_size_angstrom"])
            micrographs.setAcquisition(make_acquisition(made[0][0]))
        if not path or optics.COLUMN in storage.columns_of(micrographs):
            optics.assign(micrographs, made)
        earlier = {}
        for entry, item in made:
            known = self._registered.get(entry["name"])
            if known:
                earlier[entry["name"]] = known
                self._take_place(item, known, MICROGRAPHS, suffix)
            put(micrographs, item, self._comment(entry["name"], item))
        self._protocol._updateOutputSet(name, micrographs, state=Set.STREAM_OPEN)
        for entry, item in made:
            self._registered[entry["name"]] = Registered(suffix, item.getObjId(), entry["revision"])
        return earlier

    def _put_ctfs(self, suffix, made, folder, earlier):
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
            ctf = make_ctf(entry, item, folder, self._protocol._getExtraPath())
            known = earlier.get(entry["name"])
            if known and known.has_ctf:
                self._take_place(ctf, known, CTFS, suffix)
            put(ctfs, ctf, self._comment(entry["name"], ctf))
        self._protocol._updateOutputSet(name, ctfs, state=Set.STREAM_OPEN)
        if not path:
            self._protocol._defineCtfRelation(source, ctfs)
        for entry, _ in made:
            self._registered[entry["name"]].has_ctf = True

    def _take_place(self, item, known, output, suffix):
        """Have an item replace its earlier revision, which may be in another set."""
        if known.suffix == suffix:
            item.setObjId(known.item_id)
            return
        set_class = SetOfMicrographs if output == MICROGRAPHS else SetOfCTF
        holding = reopened(set_class, self._path(output + known.suffix))
        take_over(item, holding[known.item_id])
        holding.close()

    def _remove_earlier(self, suffix, entries, earlier):
        """Remove what earlier revisions left: items of another pixel size, and CTFs where there is none any more."""
        for entry in entries:
            known = earlier.get(entry["name"])
            if known and known.has_ctf and (known.suffix != suffix or not has_ctf(entry)):
                self._remove(known, CTFS, SetOfCTF)
            if known and known.suffix != suffix:
                self._remove(known, MICROGRAPHS, SetOfMicrographs)

    def _remove_both(self, known):
        for output, set_class in ((CTFS, SetOfCTF), (MICROGRAPHS, SetOfMicrographs)):
            if self._path(output + known.suffix):
                self._remove(known, output, set_class)

    def _remove(self, known, output, set_class):
        """Remove a micrograph or a CTF from its set."""
        holding = reopened(set_class, self._path(output + known.suffix))
        item = holding[known.item_id]
        if item is not None:
            storage.remove(holding, item)
        self._protocol._updateOutputSet(output + known.suffix, holding, state=Set.STREAM_OPEN)
