"""Where a compiled program's time goes: convolutions, layout, normalisation, pooling, the rest
(`element-wise`: sums, too).

The profiler gives the time of each instruction of the program, the program's text what each one is
and which line of the network it came from.
"""

import itertools
import re
from pathlib import Path
from typing import Any

KINDS = ("convolution", "pooling", "layout", "normalisation", "element-wise", "other")
_END = "end: "
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = .*?\s([\w-]+)\((.*)$")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
_CALLS = re.compile(r"calls=%?([\w.-]+)")
_NAME = re.compile(r'op_name="([^"]*)"')
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
# Layers' own names: BatchNorm_0, batch_normalization_3, conv1_bn, eqx.nn.LayerNorm.
_NORM = re.compile(r"norm|[._/(]bn|bn[\d_/)]", re.IGNORECASE)
# JAX's own, and what an algorithm of cnnlab's is made of.
_CONVOLUTION = re.compile(r"conv_general_dilated|/(forward|input_gradient|kernel_gradient)_\w+/")
_POOLING = re.compile(r"reduce_window|select_and_scatter|(max|avg)_pool")
_MOVES = {
    "copy", "transpose", "bitcast", "reshape", "reverse", "slice", "pad", "concatenate",
    "parameter", "constant", "broadcast", "tuple", "get-tuple-element", "dynamic-slice",
    "dynamic-update-slice",
}  # fmt: skip


def shares(program: str, trace: Path) -> dict[str, Any]:
    """`{"shares": {kind: part of the time}, "slowest": [[instruction, kind, milliseconds]]}` of one
    call; `program` is the compiled one's text, `trace` what JAX's profiler wrote."""
    kinds = kinds_of(program)
    spent = _durations(trace)
    total = sum(spent.values()) or 1.0
    found = {kind: 0.0 for kind in KINDS}
    for name, seconds in spent.items():
        found[kinds.get(name, ("other", ""))[0]] += seconds / total
    slowest = [
        [name, *kinds.get(name, ("other", "")), round(1e3 * seconds, 3)]
        for name, seconds in sorted(spent.items(), key=lambda item: -item[1])[:8]
    ]
    return {"shares": found, "slowest": slowest}


def _durations(trace: Path) -> dict[str, float]:
    """Seconds by instruction, of a trace of one call; together the time that it took.

    An instruction has an event, and another one when its result is there, which may be later: then
    other threads compute it. So a moment belongs to the instructions whose events are under way, in
    equal parts, and where there are none to those that wait for their results.
    """
    from jax.profiler import ProfileData

    events: dict[str, tuple[float, float]] = {}
    ends: dict[str, float] = {}
    for plane in ProfileData.from_file(str(trace)).planes:
        for event in (event for line in plane.lines for event in line.events):
            if event.name.startswith(_END):
                ends[event.name.removeprefix(_END)] = event.start_ns
            elif any(key == "hlo_op" for key, _ in event.stats):
                events[event.name] = event.start_ns, event.start_ns + event.duration_ns
    changes = []  # (when, +1 or -1, whether its event is under way, instruction)
    for name, (start, stop) in events.items():
        changes += [(start, 1, True, name), (stop, -1, True, name)]
        if (end := ends.get(name, stop)) > stop:
            changes += [(stop, 1, False, name), (end, -1, False, name)]
    changes.sort()
    spent = dict.fromkeys(events, 0.0)
    active: dict[bool, set[str]] = {True: set(), False: set()}
    for (when, change, running, name), (following, *_) in itertools.pairwise(changes):
        (active[running].add if change > 0 else active[running].discard)(name)
        owners = active[True] or active[False]
        for owner in owners:
            spent[owner] += (following - when) / 1e9 / len(owners)
    return spent


def kinds_of(program: str) -> dict[str, tuple[str, str]]:
    """What each instruction of a program's text is for, and where it is from: `{name: (kind,
    source)}`."""
    bodies: dict[str, list[str]] = {}
    inside, lines = "", {}
    for line in program.splitlines():
        if header := _COMPUTATION.match(line):
            inside = header[1]
        elif found := _INSTRUCTION.match(line):
            name, opcode, rest = found.groups()
            bodies.setdefault(inside, []).append(line)
            lines[name] = opcode, rest
    return {name: _kind(opcode, rest, bodies) for name, (opcode, rest) in lines.items()}


def _kind(opcode: str, rest: str, bodies: dict[str, list[str]]) -> tuple[str, str]:
    called = _CALLS.search(rest)
    inner = bodies.get(called[1], []) if called else []
    opcodes = {found[2] for line in inner if (found := _INSTRUCTION.match(line))} or {opcode}
    own = _NAME.search(rest)
    names = [own[1]] if own else [n[1] for line in inner if (n := _NAME.search(line))][-1:]
    source = names[0] if names else ""
    target = _TARGET.search(rest)
    if opcode == "custom-call" and target:
        return ("pooling" if "pool" in target[1] else "convolution"), source or target[1]
    if opcodes & {"convolution", "dot"} or _CONVOLUTION.search(source):
        return "convolution", source
    if _POOLING.search(source):  # not by the opcode: long sums become windows, too
        return "pooling", source
    if opcodes <= _MOVES or source.endswith("/transpose"):
        return "layout", source
    return ("normalisation" if _NORM.search(source) else "element-wise"), source
