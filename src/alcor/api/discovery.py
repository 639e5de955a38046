"""Version discovery and the lists of resources and extensions: what a client asks before anything else.

Source: Networking API v2.0, "API versions", "Extensions"; python-openstackclient begins every command with `GET /`.
"""

from collections.abc import Sequence

from starlette.responses import Response

from alcor.api.call import Call, Endpoint
from alcor.api.collection import Collection
from alcor.api.errors import Refused
from alcor.api.extension import present
from alcor.api.view import encode
from alcor.managers.interface import Manager, Service

VERSION_PATH = "/v2.0"


class Discovery:
    """`/`, `/v2.0` and `/v2.0/extensions`."""

    def __init__(self, collections: Sequence[Collection], parts: Sequence[Manager | Service]) -> None:
        self._resources = [
            c.resource for c in collections if c.above is None and c.resource.prefix == VERSION_PATH
        ]
        self._extensions = present(parts)

    def endpoints(self) -> dict[str, Endpoint]:
        """Path template → endpoint. `/v2.0` needs a token, as in the reference; only `/` does not."""
        return {
            "": Endpoint("versions", {"GET": self.versions}, is_open=True),
            VERSION_PATH: Endpoint("resources", {"GET": self.resources}),
            f"{VERSION_PATH}/extensions": Endpoint("extensions", {"GET": self.extensions}),
            f"{VERSION_PATH}/extensions/{{id}}": Endpoint("extensions", {"GET": self.extension}),
        }

    async def versions(self, call: Call) -> Response:
        """`GET /`: the one version there is."""
        link = {"rel": "self", "href": f"{call.base}{VERSION_PATH}/"}
        return _json({"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]})

    async def resources(self, call: Call) -> Response:
        """`GET /v2.0/`: what is served under it."""
        return _json(
            {
                "resources": [
                    {
                        "name": resource.name,
                        "collection": resource.collection,
                        "links": [
                            {"rel": "self", "href": f"{call.base}{VERSION_PATH}/{resource.collection}"}
                        ],
                    }
                    for resource in self._resources
                ]
            }
        )

    async def extensions(self, call: Call) -> Response:
        """`GET /v2.0/extensions`."""
        return _json({"extensions": [one.document() for one in self._extensions.values()]})

    async def extension(self, call: Call) -> Response:
        """`GET /v2.0/extensions/<alias>`. Raises: Refused (404)."""
        found = self._extensions.get(call.id)
        if found is None:
            raise Refused(404, f"Extension with alias {call.id} does not exist")
        return _json({"extension": found.document()})


def _json(answer: object) -> Response:
    return Response(encode(answer), media_type="application/json")
