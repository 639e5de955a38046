"""The reference page of the pipeline, from its declarations: `python -m alcor.pipeline.reference` prints it."""

from alcor.pipeline.tables import (
    CONNECTION_MARK_TEXTS,
    COOKIE_OURS,
    COOKIE_OURS_MASK,
    COPIES_PER_FLOW_MAX,
    FLAG_TEXTS,
    PRIORITY_TEXTS,
    PUNT_BURST_PACKETS,
    PUNT_RATE_PPS,
    REGISTERS,
    TABLE_TEXTS,
    UNIT_TEXTS,
    ConnectionMark,
    Flag,
    Priority,
    Table,
    UnitKind,
)


def render_reference() -> str:
    """The page, in Markdown. It says what `tables.py` says, and nothing else."""
    parts = [
        "# The pipeline\n",
        "Generated from `src/alcor/pipeline/tables.py` by `python -m alcor.pipeline.reference`; a test compares.\n",
        "Every host has the same tables on `br-int`. A packet moves forward only; what nothing matches is dropped. "
        "Numbers leave gaps for later features.\n",
        "## Tables\n",
        _grid(("id", "name", "what happens"), [(str(t.value), t.name, TABLE_TEXTS[t]) for t in Table]),
        "## Registers\n",
        _grid(("field", "meaning"), [(register.field.value[0], register.text) for register in REGISTERS]),
        "## Flags\n",
        _grid(("bit", "name", "meaning"), [(hex(f.value), f.name, FLAG_TEXTS[f]) for f in Flag]),
        "## Marks of connections\n",
        _grid(
            ("bit", "name", "meaning"),
            [(hex(mark.value), mark.name, CONNECTION_MARK_TEXTS[mark]) for mark in ConnectionMark],
        ),
        "## Priorities\n",
        _grid(
            ("priority", "name", "meaning"),
            [(str(p.value), p.name, PRIORITY_TEXTS[p]) for p in Priority],
        ),
        "## Cookies\n",
        f"`{COOKIE_OURS:#x}/{COOKIE_OURS_MASK:#x}` is every flow of ours: marker (8 bits) ‖ kind (8) ‖ hash of "
        "what the flow is about (48).\n",
        _grid(("kind", "name", "about"), [(str(k.value), k.name, UNIT_TEXTS[k]) for k in UnitKind]),
        "## Bounds\n",
        f"- Punts of one port: {PUNT_RATE_PPS} packets a second, bursts of {PUNT_BURST_PACKETS}; the meter's id is the "
        "port's key.",
        f"- Copies in one flow of a flood: {COPIES_PER_FLOW_MAX}; a larger flood has more parts.\n",
    ]
    return "\n".join(parts)


def _grid(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    print(render_reference(), end="")
