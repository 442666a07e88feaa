"""/api/v1/openapi.json: what other programs may ask this gateway, and what it answers (OpenAPI 3.1). Data.

Rule 1: what stands here is what is answered: tests/gateway/test_api_schema.py asks everything of it, and what
        it does not allow, of a running gateway (schemathesis).
Rule 2: the page's own needs (live parts, forms) are no API.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.web.answers import JSON, NOSNIFF

WHERE = "/api/v1/openapi.json"
_SENTENCE = {
    "type": "object", "required": ["error"], "properties": {"error": {"type": "string"}},
    "additionalProperties": False,
}  # fmt: skip
_TIME = {
    "type": "string",
    "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$",
    "example": "2026-03-25T10:00:00",
}  # fmt: skip
_ANSWERS = {
    "400": "It was asked wrongly: the sentence says how to ask.",
    "401": "Somebody has to log in to see this.",
    "403": "Whoever asks may not see this.",
    "404": "There is no such thing.",
    "503": "The station cannot answer just now, or too many ask: Retry-After says when to ask again.",
}


def _answers(ok: dict[str, Any], *codes: str, said: str = "The answer.") -> dict[str, Any]:
    sentence = {"application/json": {"schema": _SENTENCE}}
    return {"200": {"description": said, "content": ok}} | {
        code: {"description": _ANSWERS[code], "content": sentence} for code in ("401", "403", *codes)
    }


def _object(**properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "required": sorted(properties), "properties": properties}
    return {"application/json": {"schema": schema}}


def _query(
    name: str, said: str, schema: dict[str, Any] | None = None, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name, "in": "query", "required": required, "description": said,
        "schema": schema or {"type": "string"},
    }  # fmt: skip


def _get(summary: str, answers: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": answers}}


_SPAN = (
    _query("from", "Begin, GMT+7, or with an offset.", _TIME),
    _query("to", "End, the first moment that is left out.", _TIME),
)
_ARRAY, _OBJECT, _TEXT, _NUMBER = ({"type": one} for one in ("array", "object", "string", "number"))
_BYTES = {"type": "string", "format": "binary"}
_OPEN = ("401", "403")


def _open(answers: dict[str, Any]) -> dict[str, Any]:
    """For everybody: nobody is asked who he is."""
    return {code: answer for code, answer in answers.items() if code not in _OPEN}


def _at(name: str, pattern: str, said: str) -> dict[str, Any]:
    return {
        "name": name, "in": "path", "required": True, "description": said,
        "schema": {"type": "string", "pattern": pattern},
    }  # fmt: skip


_DAYS = _query("days", "The last days.", {"type": "integer", "minimum": 1, "maximum": 31})
PATHS: dict[str, Any] = {
    "/healthz": _get("Whether all is well", _open(_answers(_object(ok={"type": "boolean"}, reasons=_ARRAY)))
                     | {"503": {"description": "Something is not well: reasons.",
                                "content": _object(ok={"type": "boolean"}, reasons=_ARRAY)}}),
    "/metrics": _get("Figures for Prometheus", _open(_answers({"text/plain": {"schema": _TEXT}}))),
    "/public.json": _get("What everybody may see",
                         _open(_answers(_object(title=_TEXT, channels=_OBJECT), "400", "404", "503")),
                         _DAYS),
    "/public.csv": _get("The same as a table",
                        _open(_answers({"text/csv": {"schema": _TEXT}}, "400", "404", "503")), _DAYS),
    "/api/v1/current": _get("All that the gateway knows now",
                            _answers(_object(t=_TEXT, channels=_ARRAY, destinations=_ARRAY,
                                             problems=_ARRAY))),
    "/api/v1/windows": _get("Windows between two moments",
                            _answers(_object(station=_TEXT, windows=_ARRAY), "400", "404", "503"), *_SPAN,
                            _query("symbol", "One channel."),
                            _query("revisions", "newest, or all of them.", {"enum": ["newest", "all"]})),
    "/api/v1/chart": _get("A channel in columns, thinned beyond a week",
                          _answers(_object(symbol=_TEXT, t=_ARRAY, value=_ARRAY, step_ms=_NUMBER),
                                   "400", "404", "503"),
                          *_SPAN, _query("symbol", "The channel.", required=True)),
    "/api/v1/receipt/{symbol}/{stamp}": _get(
        "The proof of one value (C2SP tlog-proof)",
        _answers({"application/octet-stream": {"schema": _BYTES}}, "400", "404", "503"),
        _at("symbol", "^[A-Za-z0-9]{1,12}$", "The channel."),
        _at("stamp", "^20[0-9]{6}([01][0-9]|2[0-3])[0-5][0-9]00$", "As it stands in the provincial file."),
        _query("revision", "Another than the newest.", {"type": "integer", "minimum": 1, "maximum": 9999}),
    ),
    "/api/v1/pictures": _get("Pictures of cameras and of calibrations",
                             _answers(_object(station=_TEXT, pictures=_ARRAY), "400", "404", "503"), *_SPAN,
                             _query("camera", "One camera.")),
    "/api/v1/picture/{digest}": _get(
        "One of them", _answers({"image/jpeg": {"schema": _BYTES}, "image/png": {"schema": _BYTES}},
                                "400", "404", "503"),
        _at("digest", "^[0-9a-f]{64}$", "Its SHA-256."),
    ),
}  # fmt: skip
SCHEMA: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Quantrac gateway", "version": "1", "description": "Read-only; times are GMT+7."},
    "paths": PATHS,
}


def route() -> Route:
    """The page."""
    body = msgspec.json.encode(SCHEMA)

    async def page(request: Request) -> Response:
        return Response(body, media_type=JSON, headers=NOSNIFF)

    return Route(WHERE, page)
