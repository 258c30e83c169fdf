"""Runs followers in this process, without Scipion's launcher; run by Scipion's interpreter, one JSON line a request.

* `{"do": "make", "project": DIR, "journal": PATH}`: a project with a follower of that journal
* `{"do": "copied", "project": DIR, "copy": DIR}`: the project was copied there
* `{"do": "follow", "project": DIR}`: run it as a new process would, to the journal's end; with `"as": "dying"`, it is
  killed after it has changed its sets and before it answers the verdicts; with `"as": "older"`, it begins sets with the
  columns that version 0.2 had, and with its sign of shifts
* `{"do": "person", "project": DIR, "output": NAME, "item": MICROGRAPH, "enabled": BOOL}`: what a person does there
* `{"do": "read", "project": DIR}`: the items of all outputs, by output and micrograph
* `{"do": "classes", "project": DIR}`: the names of the classes that the follower is of
* `{"do": "workflow", "workflow": TEMPLATE}`: why a template cannot be scheduled, or nothing
* `{"do": "streams", "project": DIR}`: whether the stream of each output is open
* `{"do": "relion_shifts", "star": PATH, "frames": COUNT}`: the shifts (x, y) that RELION's plugin makes of a movie's
  STAR file; null without that plugin
* `{"do": "relion_optics", "project": DIR}`: the optics groups that RELION's plugin reads from the set of micrographs
  and from its items; null without that plugin
"""

import json
import os
import shutil
import sys
import traceback
import types

reply = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
os.environ["SCIPION_PYTHON"] = sys.executable

import pwem  # noqa: E402
import pyworkflow  # noqa: E402
from pyworkflow.object import Set  # noqa: E402
from pyworkflow.project import Project  # noqa: E402
from pyworkflow.protocol import getProtocolFromDb  # noqa: E402

DOMAIN = pyworkflow.Config.getDomain() or pwem.Domain
runs = {}


def make(project, journal):
    """Make a project and a follower in it."""
    made = Project(DOMAIN, project)
    made.create()
    protocol = made.newProtocol(DOMAIN.findClass("ProtCryoferryFollow"), journal=journal, sessionName="grid1")
    made.saveProtocol(protocol)
    protocol.makePathsAndClean()
    made.mapper.commit()
    shutil.copyfile(made.dbPath, protocol.getDbPath())
    runs[project] = (protocol.getDbPath(), protocol.getObjId())


def copied(project, copy):
    """Note that a copy has the same follower."""
    runs[copy] = runs[project]


def load(project):
    """Return the follower as its own database describes it."""
    return getProtocolFromDb(project, *runs[project], chdir=True)


def follow(project, kind="usual"):
    """Run the follower, in a process of its own if it is not the usual one."""
    if kind == "usual":
        run = load(project)
        run.followStep("")
        run.setFinished()  # which closes open sets, if the version of Scipion calls it
        return
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        {"dying": die_before_answers, "older": make_items_of_version_0_2}[kind]()
        load(project).followStep("")
    finally:
        os._exit(1)


def die_before_answers():
    """Kill this process when it would answer a verdict."""
    from cryoferry_scipion import verdicts

    verdicts.Verdicts._answer = lambda *_: os.kill(os.getpid(), 9)


def make_items_of_version_0_2():
    """Leave out what later versions added, and store where frames lie instead of what moves them back."""
    from cryoferry_scipion import items, sets

    newest, newest_micrograph, newest_alignment = sets.make_ctf, sets.make_micrograph, items.make_alignment
    for picture in ("psdCorr", "plotGlobal"):
        del items.PICTURES[picture]

    def make_alignment(entry):
        alignment = newest_alignment(entry)
        for axis in alignment.getShifts():
            axis.set([-value for value in axis])
        return alignment

    def make_ctf(*arguments):
        ctf = newest(*arguments)
        for name in ("_rlnIceRingDensity", "_cryoferryReliable", "_cryoferryDefocusError"):
            delattr(ctf, name)
        return ctf

    def make_micrograph(*arguments):
        micrograph = newest_micrograph(*arguments)
        del micrograph._rlnOpticsGroup
        del micrograph._cryoferryOpticsGroup
        return micrograph

    sets.optics.assign = lambda *_: None
    sets.make_ctf, sets.make_micrograph, items.make_alignment = make_ctf, make_micrograph, make_alignment


def name_of(item):
    """Return the name of an item's micrograph."""
    return item.getMicName() if hasattr(item, "getMicName") else item.getMicrograph().getMicName()


def person(project, output, item, enabled):
    """Enable or disable an item in place, as a viewer does."""
    stored = getattr(load(project), output)
    holding = type(stored)(filename=stored.getFileName())
    holding.loadAllProperties()
    (changed,) = [found.clone(copyEnable=True) for found in holding.iterItems() if name_of(found) == item]
    changed.setEnabled(enabled)
    holding.update(changed)
    holding.write()
    holding.close()


def read(project):
    """Return all that the sets say of their items."""
    found = {}
    for name, stored in load(project).iterOutputAttributes(Set):
        holding = type(stored)(filename=stored.getFileName())
        holding.loadAllProperties()
        found[name] = {
            name_of(item): {"enabled": item.isEnabled(), "comment": item.getObjComment(), **item.getObjDict()}
            for item in holding.iterItems()
        }
        assert holding.getSize() == len(found[name])
        holding.close()
    return found


def classes(project):
    """Return the names of the follower's classes."""
    return [kind.__name__ for kind in type(load(project)).__mro__]


def workflow(workflow):
    """Return why a template is refused."""
    from cryoferry_scipion.workflow import why_refused

    return why_refused(DOMAIN, workflow)


def streams(project):
    """Return whether the stream of each output is open."""
    found = {}
    for name, stored in load(project).iterOutputAttributes(Set):
        holding = type(stored)(filename=stored.getFileName())
        holding.loadAllProperties()
        found[name] = holding.isStreamOpen()
        holding.close()
    return found


def relion_shifts(star, frames):
    """Return the shifts as RELION's plugin reads them."""
    try:
        from relion.protocols.protocol_motioncor import ProtRelionMotioncor
    except ImportError:
        return None
    protocol = types.SimpleNamespace(_getFrameRange=lambda: (1, frames))
    return ProtRelionMotioncor._getMovieShifts(protocol, None, star)


def relion_optics(project):
    """Return what RELION's plugin makes of the set of micrographs: the rows of its table of groups, and each item's."""
    try:
        from relion.convert import OpticsGroups
    except ImportError:
        return None
    stored = load(project).outputMicrographs
    holding = type(stored)(filename=stored.getFileName())
    holding.loadAllProperties()
    found = {name_of(item): OpticsGroups.fromImages(item)[item._rlnOpticsGroup.get()] for item in holding.iterItems()}
    groups = [dict(row._asdict()) for row in OpticsGroups.fromImages(holding)]
    holding.close()
    return {"groups": groups, "items": {name: dict(row._asdict()) for name, row in found.items()}}


DO = {
    "make": make,
    "copied": copied,
    "follow": follow,
    "person": person,
    "read": read,
    "streams": streams,
    "classes": classes,
    "workflow": workflow,
    "relion_shifts": relion_shifts,
    "relion_optics": relion_optics,
}

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"done": DO[request.pop("do")](**request)}
    except Exception:  # noqa: BLE001 - whatever it is, the test that asked has to show it
        answer = {"error": traceback.format_exc()}
    reply.write(json.dumps(answer) + "\n")
    reply.flush()
