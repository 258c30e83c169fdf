"""Protocols that run behind a session's follower, from a workflow that Scipion has exported.

A template is what "Export" in Scipion's desktop writes: a JSON list of protocols, in which inputs name others as
`ID.output`. One of the protocols is the follower; its entry stands for the session's own. A template is checked as a
whole before anything is made of it. What it does not say is taken from the defaults of the installed plugins.

Each protocol is made once in a project: its comment says which entry it was made from.
"""

import os
import re

from . import storage

FOLLOWER = "ProtCryoferryFollow"
ABOUT_ENTRY = ("object.className", "object.id", "object.label", "object.comment")
SETTINGS = ("_useQueue", "_queueParams", "_prerequisites", "forceSchedule")
"""What an entry says beside the protocol's parameters."""
REFERENCE = re.compile(r"\d+(\.\w+)*")
PLACEHOLDER = re.compile(r"~([^~|]*)(\|[^~]*)?~")


class WorkflowRefused(Exception):
    """This template cannot be scheduled behind the follower."""


def entries_of(listed):
    """Return the entries of a template (dicts) by their id, in the file's order."""
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise WorkflowRefused("it is no list of protocols, as Scipion exports them")
    entries = {}
    for entry in listed:
        if not all(isinstance(entry.get(key), str) for key in ABOUT_ENTRY[:2]):
            raise WorkflowRefused("a protocol in it has no object.className or no object.id")
        if not all(isinstance(entry.get(key) or "", str) for key in ABOUT_ENTRY[2:]):
            raise WorkflowRefused(f"the label or comment of the protocol {entry['object.id']} is no text")
        if entry["object.id"] in entries:
            raise WorkflowRefused(f"two protocols in it have the id {entry['object.id']}")
        entries[entry["object.id"]] = entry
    return entries


def name_of(entry):
    """Return what messages call an entry."""
    return f"{entry.get('object.label') or entry['object.className']} (id {entry['object.id']})"


class Workflow:
    """A template whose entries were found to be right.

    Parameters
    ----------
    domain
        Scipion's domain, which knows the installed plugins.
    listed
        The template, as read from its file.

    Raises
    ------
    WorkflowRefused
        It is not right; the text says all that is found.
    """

    def __init__(self, domain, listed):
        self._domain = domain
        self._entries = entries_of(listed)
        self._follower = self._find_follower()
        self._classes = self._find_classes()
        self._references = {}  # id of an entry -> the references of its parameters: name -> list of (id, parts)
        self._refuse_if(problem for entry in self._behind() for problem in self._all_problems_of(entry))
        self._order = self._ordered()

    def _behind(self):
        """Return the entries of the protocols behind the follower."""
        return [entry for number, entry in self._entries.items() if number != self._follower]

    @staticmethod
    def _refuse_if(problems):
        problems = list(problems)
        if problems:
            raise WorkflowRefused("; ".join(problems))

    def _find_follower(self):
        found = [number for number, entry in self._entries.items() if entry["object.className"] == FOLLOWER]
        if len(found) != 1:
            raise WorkflowRefused(
                f"it has {len(found)} protocols of the class {FOLLOWER}, and must have one, which stands for the "
                "session's follower. Export the workflow from a project of cryoferry, with the follower"
            )
        if len(self._entries) == 1:
            raise WorkflowRefused("it has no protocol behind the follower")
        return found[0]

    def _find_classes(self):
        known = self._domain.getProtocols()
        missing = {entry["object.className"] for entry in self._entries.values()} - set(known)
        if missing:
            raise WorkflowRefused(
                f"this Scipion has no protocol {', '.join(sorted(missing))}: install the plugin that has it"
            )
        return {number: known[entry["object.className"]] for number, entry in self._entries.items()}

    def _all_problems_of(self, entry):
        try:
            return list(self._problems_of(entry))
        except Exception as error:  # noqa: BLE001 - values are judged by code of the plugins, which may raise anything
            return [f"{name_of(entry)} cannot be checked: {type(error).__name__}: {error}"]

    def _problems_of(self, entry):
        """Yield what is wrong with an entry."""
        name = name_of(entry)
        protocol = self._classes[entry["object.id"]]()
        parameters = dict(protocol.iterDefinitionAttributes())
        errors = protocol.validateInstallation()
        if errors:
            yield f"{name} is not installed completely: {' '.join(errors)}"
        for key in entry:
            if key not in parameters and key not in ABOUT_ENTRY + SETTINGS:
                yield f"{name} has no parameter {key} in this Scipion"
        for awaited in awaited_ids(entry):
            if awaited not in self._entries:
                yield f"{name} waits for the protocol {awaited}, which is not in the workflow"
        give_settings(protocol, entry)
        yield from self._problems_of_values(entry, protocol, parameters)

    def _problems_of_values(self, entry, protocol, parameters):
        references = self._references[entry["object.id"]] = {}
        wrong = {}
        for key in [key for key in parameters if key in entry]:
            try:
                references[key] = take_value(protocol, key, parameters[key], entry[key])
            except WorkflowRefused as problem:
                wrong[key] = str(problem)
        for key in parameters:  # whether a parameter is needed depends on the values of others
            problem = wrong.get(key) or self._problem_of_parameter(protocol, key, references.get(key) or [])
            if problem:
                yield f"{name_of(entry)}, {key}: {problem}"

    def _problem_of_parameter(self, protocol, key, references):
        """Return what is wrong with a parameter of a protocol, whose other parameters have their values."""
        parameter, attribute = protocol.getParam(key), getattr(protocol, key)
        for number, parts in references:
            problem = self._problem_of_reference(parameter, number, parts)
            if problem:
                return problem
        if references or not protocol.evalParamCondition(key):
            return None
        if is_input(attribute):
            return None if parameter.allowsNull else "this input is empty"
        return "; ".join(parameter.validate(attribute.get())) or None

    def _problem_of_reference(self, parameter, number, parts):
        if number not in self._entries:
            return f"it refers to the protocol {number}, which is not in the workflow"
        if number != self._follower:
            return None  # outputs of many protocols depend on their parameters
        outputs = {output.name: output.value for output in self._classes[number]._possibleOutputs}
        if parts and parts[0] not in outputs:
            return f"the follower has no output {parts[0]}, only {' and '.join(outputs)}"
        pointed = outputs[parts[0]] if parts else self._classes[number]
        wanted = classes_of(self._domain, parameter)
        if wanted and len(parts) < 2 and not issubclass(pointed, tuple(wanted)):
            return f"it takes {' or '.join(kind.__name__ for kind in wanted)}, and not {pointed.__name__}"
        return None

    def _ordered(self):
        """Return the ids of the protocols behind the follower, each after those that it refers to."""
        waits = {}
        for entry in self._behind():
            referred = {
                number for references in self._references[entry["object.id"]].values() for number, _ in references
            }
            waits[entry["object.id"]] = (referred | set(awaited_ids(entry))) - {self._follower}
        order = []
        while waits:
            ready = [number for number, awaited in waits.items() if awaited <= set(order)]
            if not ready:
                names = ", ".join(name_of(self._entries[number]) for number in waits)
                raise WorkflowRefused(f"these protocols wait for each other: {names}")
            order += ready
            for number in ready:
                del waits[number]
        return order

    def make(self, project, follower, known):
        """Make the protocols that the project does not have; return all of them, each after those that it refers to.

        Parameters
        ----------
        project
            The loaded project.
        follower
            The session's follower in it.
        known
            The workflow's protocols that the project has, by the id of their entries.
        """
        made = {self._follower: follower}
        for number in self._order:
            made[number] = known.get(number) or self._make_one(project, self._entries[number], made)
        return [made[number] for number in self._order]

    def _make_one(self, project, entry, made):
        protocol = project.newProtocol(self._classes[entry["object.id"]])
        protocol.setObjLabel(entry.get("object.label") or protocol.getClassLabel())
        protocol.setObjComment(comment_of(made[self._follower], entry))
        give_settings(protocol, entry)
        protocol._prerequisites.set([str(made[number].getObjId()) for number in awaited_ids(entry)])
        for key, attribute in protocol.iterDefinitionAttributes():
            if key in entry:
                references = take_value(protocol, key, attribute, entry[key])
                point(attribute, [(made[number], parts) for number, parts in references])
        project.saveProtocol(protocol)
        return protocol


def why_refused(domain, listed):
    """Return why a template cannot be scheduled in this Scipion, or nothing."""
    try:
        Workflow(domain, listed)
    except WorkflowRefused as reason:
        return str(reason)
    return ""


def give_settings(protocol, entry):
    """Give a protocol what an entry says beside its parameters, but what it waits for."""
    for key in SETTINGS:
        if key in entry and key != "_prerequisites" and hasattr(protocol, key):
            getattr(protocol, key).set(entry[key])


def take_value(protocol, key, attribute, value):
    """Give a parameter its value; return what the value refers to instead, as a list of (id, parts of the output)."""
    found = PLACEHOLDER.search(value) if isinstance(value, str) else None
    if found:
        raise WorkflowRefused(f"the placeholder '{found.group(1)}' has no value: write the value instead")
    if is_input(attribute):
        listed = value if isinstance(value, list) else [value]
        return [reference_of(one) for one in listed if one]
    try:
        attribute.set(value)
    except (TypeError, ValueError) as error:
        if getattr(protocol.getParam(key), "allowsPointers", False):
            return [reference_of(value)]
        raise WorkflowRefused(f"{value!r} is no value for it") from error
    return []


def reference_of(value):
    """Return (id, parts of the output) of a value such as `2.outputMicrographs`."""
    if not isinstance(value, str) or not REFERENCE.fullmatch(value):
        raise WorkflowRefused(f"{value!r} refers to no protocol of the workflow, as 'ID.output' does")
    number, *parts = value.split(".")
    return number, parts


def point(attribute, targets):
    """Have a parameter refer to outputs of protocols: pairs of a protocol and the parts of the output."""
    from pyworkflow.object import Pointer, PointerList

    for protocol, parts in targets:
        pointer = attribute if attribute.isPointer() else Pointer()
        pointer.set(protocol)
        pointer.setExtendedParts(parts)
        if isinstance(attribute, PointerList):
            attribute.append(pointer)
        elif pointer is not attribute:
            attribute.setPointer(pointer)


def is_input(attribute):
    """Return whether a parameter refers to other protocols, and never has a value of its own."""
    from pyworkflow.object import PointerList

    return attribute.isPointer() or isinstance(attribute, PointerList)


def awaited_ids(entry):
    """Return the ids of the protocols whose end an entry waits for."""
    awaited = entry.get("_prerequisites") or []
    return [str(number).strip() for number in (awaited.split(",") if isinstance(awaited, str) else awaited)]


def classes_of(domain, parameter):
    """Return the classes that an input takes; none if that is not known."""
    names = getattr(parameter, "pointerClass", None)
    found = []
    for name in str(names.get()).split(",") if names is not None else []:
        known = {**domain.getObjects(), **domain.getProtocols(), **base_classes()}.get(name.strip())
        if known is None:
            return []
        found.append(known)
    return found


def base_classes():
    """Return the classes that inputs name, and that the domain's lists leave out."""
    from pwem.objects import EMObject, EMSet
    from pwem.protocols import EMProtocol

    return {kind.__name__: kind for kind in (EMObject, EMSet, EMProtocol)}


def mark_of(follower, number):
    """Return what the comment of a protocol ends with that was made from an entry."""
    return f"[workflow of {follower.sessionName.get()}, {number}]"


def comment_of(follower, entry):
    """Return the comment of a protocol that is made from an entry."""
    return f"{entry.get('object.comment') or ''} {mark_of(follower, entry['object.id'])}".strip()


def made_before(project, follower):
    """Return the protocols of the project that were made from entries, by the entries' ids."""
    from pyworkflow.protocol import Protocol

    made = {}
    pattern = re.compile(re.escape(mark_of(follower, "ID")).replace("ID", r"(\w+)") + "$")
    for protocol in storage.protocols_of(project, lambda item: isinstance(item, Protocol)):
        found = pattern.search(protocol.getObjComment() or "")
        if found:
            made[found.group(1)] = protocol
    return made


def schedule(project, follower, workflow):
    """Make and schedule what is missing of a workflow; return its protocols. May be repeated after a crash."""
    made = workflow.make(project, follower, made_before(project, follower))
    for protocol in made:
        if protocol.isSaved() or (protocol.isScheduled() and not has_begun(protocol)):
            project.scheduleProtocol(protocol)
    return made


def has_begun(protocol):
    """Return whether a scheduled protocol's process has begun its log: it is launched after the protocol is stored."""
    return os.path.exists(protocol.getScheduleLog())


def go_on(project, numbers):
    """Continue those of these protocols that have finished and work in streaming: their inputs are open again.

    The others are left alone: to continue a workflow, Scipion restarts protocols that do not stream, and deletes their
    results.
    """
    from pyworkflow.protocol import MODE_RESUME

    finished = {}
    for number in numbers:
        if project.doesProtocolExists(number):
            protocol = project.getProtocol(number)
            protocol.setProject(project)
            storage.bring_up_to_date(project, protocol)
            if protocol.isFinished() and protocol.worksInStreaming():
                protocol.runMode.set(MODE_RESUME)
                finished[number] = (protocol, 0)
    errors = project.launchWorkflow(finished, MODE_RESUME)
    if errors:
        raise RuntimeError("; ".join(errors))
    return [protocol for protocol, _ in finished.values()]
