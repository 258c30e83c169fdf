"""One request to Scipion, run by Scipion's interpreter: `python -m cryoferry_scipion.bridge`.

A JSON object on stdin, a JSON object as the last line on stdout. Every request may be repeated.

* `{"do": "check", "folders": [DIR, …]}`: is this Scipion usable, and does it see these folders (a container may not)?
  Answers with its versions, and with the newest `journal_format` that the plugin reads.
  With `workflow`, the content of a template, also with `refused`: why this Scipion cannot schedule it, or nothing.
* `{"do": "ensure", "project": DIR, "session": NAME, "journal": PATH, "idle_s": SECONDS}`: make the project if there is
  none, and see to it that a follower of that journal runs in it, which ends when nothing comes for that time (0: does
  not end). One that its user stopped in Scipion stays stopped.
* `{"do": "workflow", "project": DIR, "session": NAME, "journal": PATH, "workflow": TEMPLATE}`: schedule a template's
  protocols behind the follower, each once. Answers with `refused`, or with `protocols`, their numbers in the project.
  With `protocols` instead of `workflow`: continue those that stream and have finished, for the session was reopened.

Every request may have `log`, a file for Scipion's own messages, and `stay`: after its answer, the process waits for
what it started. The processes of a container end with its first one, so the container must not end before.

The answer has `ok`; then `project`, `protocol` (its id), `status`, `alive`, `outputs`, `acted`; or `error`.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import re
import sys
import time
import traceback

START_TIMEOUT_S = 60.0
LOCK_TIMEOUT_S = 20.0
PR_SET_CHILD_SUBREAPER = 36
WAIT_FOR_CHILDREN = """
import os
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
"""


def take_streams():
    """Return (request, reply stream), and redirect the output of Scipion and of what it launches to a log."""
    reply = os.fdopen(os.dup(1), "w")
    os.set_inheritable(reply.fileno(), False)
    request = json.loads(sys.stdin.read())
    log = _open_log(request)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return request, reply


def _open_log(request):
    for path in (request.get("log") or os.environ.get("CRYOFERRY_BRIDGE_LOG"), os.devnull):
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except (OSError, TypeError):  # no log, or one that a container does not see
            continue
    return 2


def adopt_orphans():
    """Become the parent of what children of this process leave behind, as Scipion's scheduler does; on Linux."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def lock(path):
    """Hold a lock until this process ends, so that only one bridge works in a project."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ProjectInUse(f"another receiver works in the project: its process holds {path}") from None
            time.sleep(0.1)
        else:
            return


def is_locked(path):
    """Return whether a process holds that lock."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


class ProjectInUse(Exception):
    """Another bridge works in the project."""


class ProjectGone(Exception):
    """The project was made before, and is not in its place."""


class Bridge:
    """A project and the follower of one session in it."""

    def __init__(self, project, session, journal, idle_s=0):
        import pwem
        import pyworkflow
        from pyworkflow.project import Project

        self._path = os.path.abspath(project)
        self._session = session
        self._journal = journal
        self._idle_s = float(idle_s)
        self._domain = pyworkflow.Config.getDomain() or pwem.Domain
        self._project_class = Project
        self._follow = self._domain.findClass("ProtCryoferryFollow")

    def ensure(self):
        """Make project and follower if they are missing, start or continue the follower; return what was done."""
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        lock(self._path + ".cryoferry.lock")
        project = self._open()
        protocol = self._find(project)
        if protocol is None:
            protocol = project.newProtocol(self._follow, journal=self._journal, sessionName=self._session)
            # newProtocol ignores objLabel; the HTML report counts outputs of runs named after "align" and "CTF"
            protocol.setObjLabel(f"cryoferry {self._session} (aligned, CTF)")
            project.saveProtocol(protocol)
        self._set(protocol)
        if protocol.isSaved():
            return self._start(project, protocol, "started", lambda: project.launchProtocol(protocol, wait=False))
        if self._is_alive(self._newest(project, protocol)):
            return self._describe(project, protocol, "nothing")
        if self._newest(project, protocol).was_stopped():
            return self._describe(project, protocol, "stopped by its user")
        return self._start(project, protocol, "continued", lambda: self._continue(project, protocol))

    def run_workflow(self, listed, numbers):
        """Schedule a template's protocols, or continue those with these numbers; return the numbers, or why not."""
        from . import workflow

        lock(self._path + ".cryoferry.lock")
        project = self._open()
        if listed is None:
            workflow.go_on(project, numbers)
            return {"ok": True, "protocols": numbers}
        try:
            wanted = workflow.Workflow(self._domain, listed)
        except workflow.WorkflowRefused as reason:
            return {"ok": True, "refused": str(reason)}
        made = workflow.schedule(project, self._find(project), wanted)
        return {"ok": True, "protocols": [protocol.getObjId() for protocol in made]}

    def _set(self, protocol):
        protocol.journal.set(self._journal)  # the data folder may have been moved
        protocol.idleSeconds.set(self._idle_s)

    def _open(self):
        made = os.path.join(self._path, ".cryoferry-made")
        project = self._project_class(self._domain, self._path)
        noted = os.path.join(os.path.dirname(self._journal), "project-made")
        if not os.path.exists(made):
            if os.path.exists(noted):
                raise ProjectGone(
                    f"the project of session {self._session} is not in {self._path} any more. Move it back, or put a "
                    f"link to its folder there. To begin a new project with all micrographs, delete {noted}"
                )
            with contextlib.suppress(
                FileNotFoundError
            ):  # the receiver's note that it scheduled a workflow there before
                os.remove(os.path.join(os.path.dirname(self._journal), "workflow.json"))
            # a project.sqlite without the mark: the process ended while it made the project, which is still empty
            project.create(comment=f"cryoferry session {self._session}")
            os.chdir(self._path)
            with open(made, "w"):
                pass
            project = self._project_class(self._domain, self._path)
        self._offer_to_desktop()
        with open(noted, "w"):
            pass
        project.load(chdir=True)  # Scipion's paths are relative to the project
        return project

    def _offer_to_desktop(self):
        """Add the project to Scipion's list of projects, unless the list has one of that name."""
        from pyworkflow.project import Manager

        link = Manager().getProjectPath(os.path.basename(self._path))
        if os.path.islink(link) and not os.path.exists(link):
            os.remove(link)  # of a project that was moved
        if not os.path.lexists(link):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(self._path, link)

    def _find(self, project):
        from . import storage

        found = storage.protocols_of(project, lambda item: isinstance(item, self._follow))
        return next((protocol for protocol in found if protocol.sessionName.get() == self._session), None)

    def _newest(self, project, protocol):
        """Return the protocol as its own run.db describes it, because project.sqlite is updated later."""
        from pyworkflow.protocol import getProtocolFromDb

        if not os.path.exists(protocol.getDbPath()):
            return protocol
        return getProtocolFromDb(project.path, protocol.getDbPath(), protocol.getObjId())

    def _follows(self):
        from .journal import follower_lock

        return is_locked(follower_lock(self._journal))

    def _is_alive(self, protocol):
        """Return whether the follower runs: it holds its lock, or its process is still starting."""
        import psutil

        if self._follows():
            return True
        try:
            command = " ".join(psutil.Process(protocol.getPid() or 0).cmdline())
        except psutil.Error:
            return False
        return protocol.isActive() and "pw_protocol_run" in command and self._path in command  # a PID may be used again

    def _start(self, project, protocol, acted, launch):
        launch()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._follows() and time.monotonic() < deadline:
            if self._newest(project, protocol).isFailed():
                break
            time.sleep(0.25)
        return self._describe(project, protocol, acted)

    def _continue(self, project, protocol):
        from pyworkflow.protocol import MODE_RESUME

        from . import storage

        # Launching copies project.sqlite over run.db: bring the run's outputs there first.
        storage.bring_up_to_date(project, protocol)
        self._set(protocol)
        protocol.runMode.set(MODE_RESUME)
        # Forced, because protocols downstream may have finished. They are not continued: to continue a
        # workflow, Scipion restarts protocols that do not stream, and deletes their results.
        project.launchProtocol(protocol, wait=False, force=True)

    def _describe(self, project, protocol, acted):
        newest = self._newest(project, protocol)
        return {
            "ok": True,
            "project": self._path,
            "protocol": protocol.getObjId(),
            "status": newest.getStatus(),
            "alive": self._is_alive(newest),
            "message": re.sub(r"\x1b\[[0-9;]*m", "", newest.getErrorMessage() or ""),  # Scipion colours its errors
            "acted": acted,
            "outputs": {
                name: {"size": output.getSize(), "open": output.isStreamOpen()}
                for name, output in newest.iterOutputAttributes()
            },
        }


class FolderUnseen(Exception):
    """Scipion cannot write into a folder of the receiver."""


def check(folders, template):
    """Return the versions of what is installed; fail if the plugin's protocol or one of the folders is not found."""
    import pwem
    import pyworkflow

    from . import __version__
    from .journal import FORMAT
    from .workflow import why_refused

    domain = pyworkflow.Config.getDomain() or pwem.Domain
    domain.findClass("ProtCryoferryFollow")
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise FolderUnseen(
                f"Scipion cannot write into {folder}. If it runs in a container, show it this folder under the same "
                f"path (apptainer: --bind {folder}), and have both run as the same user"
            )
    return {
        "ok": True,
        "pyworkflow": pyworkflow.__version__,
        "pwem": pwem.__version__,
        "plugin": __version__,
        "journal_format": FORMAT,
        "refused": why_refused(domain, template) if template is not None else "",
    }


def answer(request):
    """Do what a request asks."""
    if request["do"] == "check":
        return check(request.get("folders", []), request.get("workflow"))
    bridge = Bridge(request["project"], request["session"], request["journal"], request.get("idle_s", 0))
    if request["do"] == "workflow":
        return bridge.run_workflow(request.get("workflow"), request.get("protocols"))
    return bridge.ensure()


def main():
    """Answer one request; exit 0 where the answer is `ok`, else 1."""
    request, reply = take_streams()
    os.environ.setdefault("SCIPION_DOMAIN", "pwem")
    os.environ["SCIPION_PYTHON"] = sys.executable
    os.environ["SCIPION_NOTIFY"] = "False"
    if request.get("stay"):
        adopt_orphans()
    try:
        result = answer(request)
    except Exception as error:  # noqa: BLE001 - the receiver must learn of every error, whatever Scipion raises
        traceback.print_exc()
        result = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    reply.write(json.dumps(result) + "\n")
    reply.flush()
    if request.get("stay"):
        # a small process instead of this one, which holds all of Scipion: with its children, without its locks
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", WAIT_FOR_CHILDREN])  # noqa: S606
    os._exit(0 if result["ok"] else 1)  # Scipion's threads would keep the process alive


if __name__ == "__main__":
    main()
