"""The reference page of traces, from the closed lists of verdicts and causes."""

from alcor.trace.cause import BY_TABLE, CAUSE_TEXTS, VERDICT_TEXTS


def render_reference() -> str:
    """The page, in Markdown."""
    where: dict[str, list[str]] = {}
    for table, cause in BY_TABLE.items():
        where.setdefault(cause.value, []).append(table.name)
    lines = [
        "<!-- Made by bin/docs from src/alcor/trace/cause.py; edit that, then run it. -->\n",
        "# Traces\n",
        "`alcor trace SOURCE DESTINATION` and `POST /v2.0/traces` say where one imaginary packet goes: hop by hop, "
        "with the rule or route that decided, and a cause from the list below if nobody receives it. With `--actual` "
        "(`actual`, administrators only) every host on the way asks its own switch (`ofproto/trace`), and the answer "
        "says where a switch differs from intent.\n",
        "The codes are a closed list: none is ever renamed, and clients may branch on them. Exit statuses of the "
        "command: 0 it arrives or is answered, 3 it is dropped, 4 a switch differs, 1 there is no answer.\n",
        "A trace opens no connection, sends nothing and meets no rate limit. What a real switch says behind an address "
        "translation cannot be compared (`agrees` is null): `ofproto/trace` does not translate.\n",
        "A project traces from its own ports; of other projects' ports it learns that they drop a packet, not by which "
        "rule.\n",
        "## Verdicts\n",
        "| verdict | meaning |\n| --- | --- |",
        *(f"| `{verdict.value}` | {text} |" for verdict, text in VERDICT_TEXTS.items()),
        "\n## Causes\n",
        "| cause | meaning | tables of the pipeline |\n| --- | --- | --- |",
        *(
            f"| `{cause.value}` | {text} | {', '.join(where.get(cause.value, []))} |"
            for cause, text in CAUSE_TEXTS.items()
        ),
    ]
    return "\n".join(lines) + "\n"
