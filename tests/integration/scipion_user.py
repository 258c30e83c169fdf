"""What a person does in Scipion's desktop, through the same calls.

`stop`, `stop-streaming`, `continue`; `downstream`: assign CTFs; `pick`: start RELION's picker on the live set.
"""

import contextlib
import io
import os
import sys

os.environ.setdefault("SCIPION_DOMAIN", "pwem")


def act(project, follower, action):
    """Do it."""
    from pwem.protocols import ProtCTFAssign
    from pyworkflow.protocol import MODE_RESUME

    if action == "stop":
        project.stopProtocol(follower)
    elif action == "stop-streaming":
        ((_, act_on_it),) = follower.getActions()
        act_on_it(None)
    elif action == "pick":
        pick(project, follower)
    elif action == "continue":
        follower.runMode.set(MODE_RESUME)
        project.launchProtocol(follower)
    else:
        assign = project.newProtocol(ProtCTFAssign)
        for pointer, output in ((assign.inputSet, "outputMicrographs"), (assign.inputCTF, "outputCTF")):
            pointer.set(follower)
            pointer.setExtended(output)
        project.launchProtocol(assign, wait=True)


def pick(project, follower):
    """Start the picker, and leave it running."""
    try:
        from relion.protocols import ProtRelionAutopickLoG
    except ImportError:
        said.append("no picker")
        return
    picker = project.newProtocol(
        ProtRelionAutopickLoG, minDiameter=40, maxDiameter=60, boxSize=32, streamingBatchSize=1
    )
    picker.numberOfMpi.set(1)  # mpirun refuses root
    picker.inputMicrographs.set(follower)
    picker.inputMicrographs.setExtended("outputMicrographs")
    project.launchProtocol(picker)


said = []


def main():
    """Load the project as the desktop does, and act on its first run."""
    import pwem
    import pyworkflow
    from pyworkflow.project import Project

    project = Project(pyworkflow.Config.getDomain() or pwem.Domain, sys.argv[1])
    project.load(chdir=True)
    act(project, project.getRuns(iterate=False, refresh=True, checkPids=True)[0], sys.argv[2])


os.environ["SCIPION_PYTHON"] = sys.executable
os.environ.setdefault("RELION_HOME", "/usr")  # as Debian installs it
with contextlib.redirect_stdout(io.StringIO()):
    main()
sys.stdout.write(" ".join(said))
sys.stdout.flush()
os._exit(0)
