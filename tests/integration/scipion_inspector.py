"""Prints as JSON what Scipion's own API sees in a project; run by Scipion's interpreter, writes nothing.

python scipion_inspector.py PROJECT
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

STREAM = {1: "open", 2: "closed"}


def describe(stored):
    """What a set's own file says."""
    output = type(stored)(filename=stored.getFileName())
    output.loadAllProperties()
    described = {
        "stream": STREAM[output.getStreamState()],
        "size": output.getSize(),
        "size_in_project": stored.getSize(),
        "class": output.getClassName(),
        "items": [],
    }
    if hasattr(output, "getSamplingRate"):
        described["pixel_size"] = output.getSamplingRate()
        described["dim"] = list(output.getDim())
        described["has_acquisition"] = output.hasAcquisition()
    for item in output.iterItems():
        fields = {"enabled": item.isEnabled(), **item.getObjDict()}
        described["items"].append(fields)
        if hasattr(item, "_alignment"):
            fields["name"] = item.getMicName()
            fields["exists"] = Path(item.getFileName()).exists()
            fields["dim"] = list(item.getDim())
            thumbnail = Path(fields["thumbnail._filename"])
            fields["thumbnail_is_file"] = thumbnail.is_file() and not thumbnail.is_symlink()
            shifts = item._alignment.getShifts()
            fields["shifts"] = [[float(value) for value in axis] for axis in shifts]
            fields["range"] = list(item._alignment.getRange())
    output.close()
    return described


def inspect(path):
    """What a fresh process sees."""
    import pwem
    import pyworkflow
    from pyworkflow.object import Set
    from pyworkflow.project import Project
    from pyworkflow.protocol import getProtocolFromDb

    project = Project(pyworkflow.Config.getDomain() or pwem.Domain, path)
    project.load(chdir=True)
    project.settings.setReadOnly(True)
    runs = []
    for known in project.getRuns(iterate=False, refresh=True, checkPids=False):
        run = getProtocolFromDb(path, known.getDbPath(), known.getObjId())
        runs.append(
            {
                "class": run.getClassName(),
                "label": known.getObjLabel(),
                "status": run.getStatus(),
                "summary": run.summary(),
                "outputs": {name: describe(output) for name, output in run.iterOutputAttributes(Set)},
            }
        )
    return {"runs": runs}


os.environ.setdefault("SCIPION_DOMAIN", "pwem")
with contextlib.redirect_stdout(io.StringIO()):
    found = inspect(str(Path(sys.argv[1]).resolve()))
sys.stdout.write(json.dumps(found))
