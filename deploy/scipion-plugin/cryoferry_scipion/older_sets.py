"""Corrects the sets that an older version of the plugin wrote: up to 0.3, shifts had the opposite sign.

An item of the set and its journal entry show which sign the set has, so the correction needs no mark, and is done once
whatever ends the follower: all items of a set change in one transaction.
"""


def alignment_of(item):
    """Return the `MovieAlignment` of a micrograph, or of a CTF's micrograph."""
    return (item if hasattr(item, "_alignment") else item.getMicrograph())._alignment


def moves(entry):
    """Return whether an entry has a shift that is not 0, so that its sign shows."""
    return any(entry["shifts"]["x_px"]) or any(entry["shifts"]["y_px"])


def has_older_sign(item, entry):
    """Return whether an item's shifts say where its frames lie, as its entry does, and not what moves them back."""
    stored = [float(value) for axis in alignment_of(item).getShifts() for value in axis]
    entered = [*entry["shifts"]["x_px"], *entry["shifts"]["y_px"]]
    return sum(one * other for one, other in zip(stored, entered)) > 0


def turn_shifts(holding):
    """Give the shifts of all items of a set the opposite sign; the caller writes the set."""
    for item_id in sorted(holding.getIdSet()):
        item = holding[item_id]
        for axis in alignment_of(item).getShifts():
            axis.set([0.0 - float(value) for value in axis])
        holding.update(item)
