"""What the plugin needs of Scipion's storage and its public API does not offer, in one place: the storage is to change.

Tried with pyworkflow 3.11.
"""


def protocols_of(project, condition):
    """Return the protocols of a project for which a function is true, without reading those that run anew.

    `Project.getRuns` does that, and may mark a protocol as failed whose database is busy.
    """
    found = project.mapper.selectAllBatch(objectFilter=condition)
    for protocol in found:
        project._setProtocolMapper(protocol)
        protocol.setProject(project)
    return found


def bring_up_to_date(project, protocol):
    """Bring into the project what a protocol's own run.db says of it, whether its process is found or not."""
    project.checkIsAlive = lambda _: True  # it would mark a protocol as failed that runs elsewhere
    project._updateProtocol(protocol)


def has_columns(target):
    """Return whether a set has had an item, which fixes its columns."""
    return not target._getMapper().doCreateTables


def columns_of(target):
    """Return the names of the columns of a set that has had an item."""
    return {row["label_property"] for row in target._getMapper().db.getClassRows()}


def expect(target, item):
    """Prepare a set that has columns for items like this one. `Set.enableAppend` does so for sets with items only."""
    target._getMapper().db.setupCommands(item.getObjDict(includeClass=True))


def remove(target, item):
    """Remove an item from a set."""
    target._getMapper().delete(item)
    target._size.set(target._getMapper().count())
