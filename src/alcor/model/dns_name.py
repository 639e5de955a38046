"""Names of the domain name system, as networks, ports and floating IPs carry them. Source: RFC 1035, RFC 1123."""

import re

FQDN_CHARS_MAX = 255
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")


def parse_domain(text: str) -> str:
    """A domain that ends with a dot, in lower case; the empty text stands for none.

    Raises: ValueError if it is too long, does not end with a dot, or has a label no domain can have.
    """
    name = text.strip().lower()
    if not name:
        return ""
    if len(name) > FQDN_CHARS_MAX:
        raise ValueError(f"'{text[:64]}…' exceeds the {FQDN_CHARS_MAX} characters a domain name may have")
    if not name.endswith("."):
        raise ValueError(f"'{text}' is not a FQDN: it must end with a dot")
    labels = name[:-1].split(".")
    if not all(_LABEL.match(label) for label in labels):
        raise ValueError(
            f"'{text}' is not a valid domain name: its labels need 1 to 63 letters, digits or hyphens inside"
        )
    if labels[-1].isdigit():
        raise ValueError(f"'{text}' is not a valid domain name: its last label must not be all digits")
    return name
