"""Verdicts of the receiver, as Scipion shows them: an item of a set is enabled or disabled.

The item's comment says what the follower did last: one of the texts below where it disabled the item, none where it
enabled it. Both are columns of one row, so no crash comes between them. An item that is enabled or disabled against its
comment was changed by a person in Scipion, and stays as that person set it.
"""

PREFIX = "cryoferry: "
BY_THRESHOLD = PREFIX + "rejected by a threshold"
BY_PERSON = PREFIX + "rejected by a person"
UNRELIABLE = PREFIX + "the CTF is not reliable"

APPLY_EVERY_S = 5.0
"""A set is written for verdicts at most so often: each time, whoever reads it has to wait."""

NOTHING_SAID = {"accepted": True, "by": "threshold"}
"""What holds of a micrograph that no `verdict` entry is about."""


def comment_on_micrograph(verdict):
    """Return why a verdict disables a micrograph; an empty text if it does not."""
    if verdict["accepted"]:
        return ""
    return BY_PERSON if verdict["by"] == "person" else BY_THRESHOLD


def comment_on_ctf(verdict, ctf):
    """Return why a verdict disables a `CTFModel`. One that is not reliable needs a person who accepts it."""
    reliable = getattr(ctf, "_cryoferryReliable", None)
    is_reliable = reliable is None or reliable.get() != 0
    if verdict["accepted"] and not is_reliable and verdict["by"] != "person":
        return UNRELIABLE
    return comment_on_micrograph(verdict)


def belongs_to_a_person(item):
    """Return whether a person enabled or disabled an item after the follower."""
    return item.isEnabled() == item.getObjComment().startswith(PREFIX)


def settle(item, comment):
    """Enable or disable an item, unless a person did; return whether it changed."""
    present = item.getObjComment()
    if belongs_to_a_person(item) or (present if present.startswith(PREFIX) else "") == comment:
        return False
    item.setEnabled(not comment)
    item.setObjComment(comment)
    return True


class Verdicts:
    """The `verdict` entries of a journal: the last one about each micrograph, and those that are to be answered.

    Parameters
    ----------
    answers
        The follower's `Acknowledgements`. What was answered has been done.
    """

    def __init__(self, answers):
        self._answers = answers
        self._last = {}
        self._due = []
        self._applied_at_s = float("-inf")

    def take(self, entries):
        """Note entries, oldest first."""
        for entry in entries:
            self._last[entry["name"]] = entry
            if not self._answers.has(entry):
                self._due.append(entry)

    def on(self, name):
        """Return the verdict on a micrograph."""
        return self._last.get(name, NOTHING_SAID)

    def apply(self, sets, moment_s=float("inf")):
        """Enable and disable what the entries are about, and answer them; return the names of what persons hold.

        Parameters
        ----------
        sets
            The `OutputSets`.
        moment_s
            When this is, by a clock that never goes back; nothing is done too soon after the last time.
        """
        if not self._due or moment_s - self._applied_at_s < APPLY_EVERY_S:
            return []
        self._applied_at_s = moment_s
        due, self._due = self._due, []
        held = sets.judge({entry["name"] for entry in due})
        self._answers.add([self._answer(entry, held) for entry in due])
        return sorted(held)

    @staticmethod
    def _answer(entry, held):
        answer = {"seq": entry["seq"], "type": "verdict", "name": entry["name"], "revision": entry["revision"]}
        return dict(answer, held=True) if entry["name"] in held else answer
