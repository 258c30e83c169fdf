"""Does what Scipion's desktop does every few seconds: brings the runs up to date and looks whether they live."""

import contextlib
import io
import os
import sys

os.environ.setdefault("SCIPION_DOMAIN", "pwem")
with contextlib.redirect_stdout(io.StringIO()):
    import pwem
    import pyworkflow
    from pyworkflow.project import Project

    project = Project(pyworkflow.Config.getDomain() or pwem.Domain, sys.argv[1])
    project.load(chdir=True)
    statuses = [run.getStatus() for run in project.getRuns(iterate=False, refresh=True, checkPids=True)]
sys.stdout.write(" ".join(statuses))
