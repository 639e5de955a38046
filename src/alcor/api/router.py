"""From a path to what answers it: a tree of path segments. Words win over what may be named."""

from collections.abc import Mapping

from alcor.api.call import Endpoint


class _Node:
    __slots__ = ("endpoint", "named", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.named: _Node | None = None
        self.endpoint: Endpoint | None = None


class Router:
    """The tree of all endpoints. Template segments in braces take any text.

    Cost:   one dictionary look-up per segment; a second try only where a word and a name share a place.
    Raises: ValueError at construction if two templates say the same.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._root = _Node()
        for template, endpoint in endpoints.items():
            node = self._root
            for part in _parts(template):
                if part.startswith("{"):
                    node.named = node.named or _Node()
                    node = node.named
                else:
                    node = node.words.setdefault(part, _Node())
            if node.endpoint is not None:
                raise ValueError(f"two endpoints answer the path {template}")
            node.endpoint = endpoint

    def find(self, path: str) -> tuple[Endpoint, tuple[str, ...]] | None:
        """The endpoint of a path and what the path names. A trailing slash means nothing."""
        return _walk(self._root, _parts(path), 0, ())


def _parts(path: str) -> list[str]:
    path = path.strip("/")
    return path.split("/") if path else []


def _walk(
    node: _Node, parts: list[str], place: int, names: tuple[str, ...]
) -> tuple[Endpoint, tuple[str, ...]] | None:
    # Templates have few segments, and a path of more ends where the tree does: the depth is bounded by the tree's.
    if place == len(parts):
        return None if node.endpoint is None else (node.endpoint, names)
    part = parts[place]
    word = node.words.get(part)
    if word is not None:
        found = _walk(word, parts, place + 1, names)
        if found is not None:
            return found
    return None if node.named is None else _walk(node.named, parts, place + 1, (*names, part))
