"""The protocol that follows a receiver's journal, for as long as its session runs."""

import enum
import fcntl
import os
import time

from pwem.objects import SetOfCTF, SetOfMicrographs
from pwem.protocols import EMProtocol, ProtAlignMovies, ProtCTFMicrographs, ProtImport
from pyworkflow.object import Set
from pyworkflow.protocol import params
from pyworkflow.protocol.constants import STEPS_SERIAL

from ..journal import Acknowledgements, JournalReader, check_format, follower_lock
from ..sets import OutputSets
from ..verdicts import Verdicts

HEARTBEAT_FRESH_S = 120.0
LOCK_TIMEOUT_S = 15.0
JOURNAL_TIMEOUT_S = 60.0

_held_locks = {}  # path -> descriptor; until the process ends, because Scipion writes after the step, too


class FollowerOutputs(enum.Enum):
    """The protocol's outputs. Sets of other pixel sizes have numbers, from 2."""

    outputMicrographs = SetOfMicrographs
    outputCTF = SetOfCTF


# Monitors look for protocols by their class: the summary monitor takes aligned micrographs from a ProtAlignMovies and
# CTFs from a ProtCTFMicrographs, and the CTF monitor can be given nothing else. All that these do is replaced below.
class ProtCryoferryFollow(ProtImport, ProtAlignMovies, ProtCTFMicrographs):
    """Registers, live, the motion-corrected micrographs that a cryoferry receiver commits.

    The receiver starts it. Stop and Continue work as for any other protocol: what is registered stays, what is missing
    is taken from the journal. It ends, and closes its sets, when the session ends. It also ends when nothing comes for
    a time, but leaves its sets open: the receiver continues it with the next data.
    """

    _label = "follow cryoferry session"
    _possibleOutputs = FollowerOutputs
    stepsExecutionMode = STEPS_SERIAL
    doComputeMicThumbnail = True  # the HTML report then copies our thumbnails, which it would convert otherwise

    def __init__(self, **kwargs):
        EMProtocol.__init__(self, **kwargs)

    def _defineParams(self, form):
        form.addSection("Session")
        form.addParam("journal", params.FileParam, label="Journal", help="The journal.jsonl that the receiver writes.")
        form.addParam("sessionName", params.StringParam, default="", label="Session")
        form.addParam("pollSeconds", params.FloatParam, default=1.0, label="Look for new micrographs every (s)")
        form.addParam("batchSize", params.IntParam, default=200, label="Micrographs per commit, at most")
        form.addParam("idleSeconds", params.FloatParam, default=0.0, label="End after nothing came for (s; 0: never)")

    @classmethod
    def worksInStreaming(cls):
        """Return True: its sets grow."""
        return True

    def isInStreaming(self):
        """Return whether it may be continued, not only restarted."""
        return not self.isFinished() or any(output.isStreamOpen() for _, output in self.iterOutputAttributes(Set))

    def _validate(self):
        return [] if self.journal.get() else ["Give the journal of a receiver's session."]

    def _summary(self):
        return [self.summaryVar.get("Nothing is registered yet.")]

    def _methods(self):
        return []

    def _insertAllSteps(self):
        # with the time as its argument, the step runs again each time the protocol is continued
        self._insertFunctionStep(self.followStep, str(time.time()), needsGPU=False)

    def _doComputeMicThumbnail(self):
        return True

    def _stepsCheck(self):
        pass

    def followStep(self, _started):
        """Register the journal's entries until the session has ended or a person stops the protocol."""
        self._is_follower = True
        self._hold_session()
        self._follow()

    def _hold_session(self):
        """Hold the session's lock, because a set can have one writer only."""
        path = follower_lock(self.journal.get())
        if path in _held_locks:
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise RuntimeError("another process follows this session already") from None
                time.sleep(0.2)
            else:
                _held_locks[path] = descriptor
                return

    def _follow(self):
        journal = self.journal.get()
        self._forget_stop()
        reader = JournalReader(journal)
        answers = Acknowledgements(os.path.join(os.path.dirname(journal), "acknowledged.jsonl"))
        verdicts = Verdicts(answers)
        sets = OutputSets(self, verdicts)
        sets.set_stream(Set.STREAM_OPEN)
        self._report(sets)
        end, seen = None, time.monotonic()
        last, heard = None, time.monotonic()
        while True:
            self._beat()
            entries = reader.read(self.batchSize.get())
            end = self._end_after(entries, end)
            verdicts.take([entry for entry in entries if entry["type"] == "verdict"])
            self._take([entry for entry in entries if entry["type"] == "micrograph"], sets, answers)
            if entries or os.path.exists(journal):
                seen = time.monotonic()
            if time.monotonic() - seen > JOURNAL_TIMEOUT_S:
                raise RuntimeError(f"the journal {journal} is gone")
            if entries:
                last, heard = entries[-1], time.monotonic()
                continue
            if end or os.path.exists(self._stop_file()):
                break
            if last and (last["type"] == "rest" or 0 < self.idleSeconds.get() < time.monotonic() - heard):
                self._rest(last, sets, verdicts, answers)
                return
            self._say(verdicts.apply(sets, time.monotonic()))
            time.sleep(self.pollSeconds.get())
        self._say(verdicts.apply(sets))
        sets.set_stream(Set.STREAM_CLOSED)
        if end:
            self._forget_stop()
            answers.add([{"seq": end["seq"], "type": "end"}])

    def _rest(self, last, sets, verdicts, answers):
        """End with the sets open: what follows in the journal makes the receiver continue the run."""
        self._say(verdicts.apply(sets))
        sets.write_optics()
        self._keeps_sets_open = True
        self._report(sets, "Ended because nothing came, with open sets: the receiver continues it with the next data.")
        answers.add_rest(last["seq"])

    @staticmethod
    def _end_after(entries, end):
        """Return the entry that ended the session, or None while it is open."""
        for entry in entries:
            if entry["type"] == "session":
                check_format(entry)
            elif entry["type"] in ("end", "reopen"):
                end = entry if entry["type"] == "end" else None
        return end

    def _take(self, entries, sets, answers):
        if not entries:
            return
        folder = os.path.dirname(os.path.dirname(self.journal.get()))
        sets.correct_shifts(entries)
        sets.renew_links(entries, folder)
        newest = {}
        for entry in entries:
            if not sets.holds(entry):
                older = newest.get(entry["name"])
                if older is None or older["revision"] <= entry["revision"]:
                    newest[entry["name"]] = entry
        rejected = sets.register(list(newest.values()), folder)
        if newest:
            self._report(sets)
        answers.add([self._answer(entry, newest, rejected) for entry in entries])

    def _say(self, held):
        for name in held:
            self.info(f"{name}: cryoferry's verdict has changed, but a person set it here; it stays as it is")

    @staticmethod
    def _answer(entry, newest, rejected):
        answer = {"seq": entry["seq"], "name": entry["name"], "revision": entry["revision"]}
        tried = newest.get(entry["name"])
        if tried is not None and tried["seq"] in rejected:
            answer["error"] = rejected[tried["seq"]]
        return answer

    def _report(self, sets, more=""):
        counted = f"{len(sets)} micrographs of session {self.sessionName.get()}"
        self.summaryVar.set(f"{counted}. {more}" if more else counted)
        self._store(self.summaryVar)
        self.info(self.summaryVar.get())

    # People open a project on other machines and in containers too. Scipion does not find this process there, calls
    # setFailed() and closes the sets, and every protocol downstream ends too early. It loads this class there as well:
    # a recent heartbeat shows that the follower runs on another machine.

    def _beat(self):
        with open(self._in_project(self._getExtraPath("HEARTBEAT")), "w") as stream:
            stream.write(f"{self.getHostFullName()} {os.getpid()}\n")

    def _lives_elsewhere(self):
        try:
            age_s = time.time() - os.path.getmtime(self._in_project(self._getExtraPath("HEARTBEAT")))
        except OSError:
            return False
        return age_s < HEARTBEAT_FRESH_S

    def _in_project(self, path):
        project = self.getProject()
        return path if os.path.isabs(path) or project is None else os.path.join(project.path, path)

    def setFailed(self, msg):
        """Record the failure, but leave the sets open: the receiver continues the follower, downstream waits."""
        mine = getattr(self, "_is_follower", False)
        if not mine and "not found running" in str(msg) and self._lives_elsewhere():
            return
        self._keeps_sets_open = True
        try:
            super().setFailed(msg)
        finally:
            self._keeps_sets_open = False

    def _closeOutputSet(self):
        if not getattr(self, "_keeps_sets_open", False):
            super()._closeOutputSet()

    def was_stopped(self):
        """Return whether a person stopped it, in either way, and has not continued it since."""
        return self.isAborted() or os.path.exists(self._stop_file())

    def _forget_stop(self):
        if os.path.exists(self._stop_file()):
            os.remove(self._stop_file())

    def _stop_file(self):
        return self._in_project(self._getExtraPath("STOP_STREAMING.TXT"))

    def getActions(self):
        """Offer a clean stop, which closes the sets."""
        if not self.isRunning():
            return []
        return [("STOP STREAMING", lambda _: open(self._stop_file(), "w").close())]
