"""The OpenAPI 3.1 document of a service, made of its routes and of the schemas they validate with. Ring: rim.

A view tells with `@describes` what it takes and answers; what it does not tell is read off the route itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeGuard, TypeVar

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from shared.roles import Need, Rules
from shared.web.answers import Problem
from shared.web.arguments import PictureFields

V = TypeVar("V", bound=Callable[..., Any])
_ATTRIBUTE = "_described"
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_REF = "#/components/schemas/{model}"
_VARIABLE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PAGES = frozenset({"console"})
"""Blueprints whose routes are pages for people, not calls for programs."""


class Pictures(Enum):
    """A body that holds one picture or several."""

    ONE = "image"
    SEVERAL = "images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of a route: an envelope with `result` and `flat` fields, a bare document, or another media type."""

    text: str = "Done."
    result: Any = None
    flat: type[BaseModel] | None = None
    bare: type[BaseModel] | None = None
    media_types: tuple[str, ...] = ()
    is_empty: bool = False


EMPTY = Reply(text="Nothing but headers.", is_empty=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a view takes and answers."""

    summary: str
    tag: str
    says: Mapping[int, Reply]
    body: type[BaseModel] | Pictures | None = None
    form: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    fields: type[BaseModel] = PictureFields
    headers: Mapping[str, str] = field(default_factory=dict)
    calls_back: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is posted to somebody else's address, signed after Standard Webhooks; `otherwise` tells of other answers."""

    summary: str
    model: type[BaseModel]
    is_always_signed: bool = True
    otherwise: str = "Tried again."


def describes(
    summary: str,
    *,
    tag: str,
    result: Any = None,
    flat: type[BaseModel] | None = None,
    also: Mapping[int, Reply] | None = None,
    says: Mapping[int, Reply] | None = None,
    body: type[BaseModel] | Pictures | None = None,
    form: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    fields: type[BaseModel] = PictureFields,
    headers: Mapping[str, str] | None = None,
    calls_back: type[BaseModel] | None = None,
) -> Callable[[V], V]:
    """Describe the view below.

    Args:
        summary: what it does, a sentence.
        tag: under which heading it stands.
        result: schema of `result` in the envelope of a 200.
        flat: schema of the fields that stand beside it.
        also: answers of other statuses than 200; errors need no mention.
        says: all answers, in place of `result`, `flat` and `also`.
        body: schema of a JSON body, or that pictures are taken in each of their forms.
        form: schema of a form; beside `body` either of both is taken.
        query: schema of the query.
        fields: what may stand beside pictures.
        headers: headers that it heeds, with what they do.
        calls_back: schema of what is posted to the `callback_url` of the query.
    """
    answers = says or {200: Reply(result=result, flat=flat), **(also or {})}
    described = Described(
        summary=summary,
        tag=tag,
        says=answers,
        body=body,
        form=form,
        query=query,
        fields=fields,
        headers=headers or {},
        calls_back=calls_back,
    )

    def mark(view: V) -> V:
        setattr(view, _ATTRIBUTE, described)
        return view

    return mark


def undescribed(app: Flask) -> list[str]:
    """Name the routes that are missing in the document, pages aside."""
    return [rule.rule for rule in _calls(app) if _described(app, rule) is None]


def document(
    app: Flask,
    *,
    title: str,
    version: str,
    rules: Rules,
    is_signed: bool,
    webhooks: Mapping[str, Message],
) -> dict[str, Any]:
    """Write the whole document.

    Args:
        app: with all its routes.
        title: of the document.
        version: of the service.
        rules: what each route needs.
        is_signed: whether requests may be signed.
        webhooks: what the service posts by itself, by name.
    """
    ways = ["token", "signature"] if is_signed else ["token"]
    refs = _Schemas(app, [message.model for message in webhooks.values()])
    paths: dict[str, dict[str, Any]] = {}
    for rule in _calls(app):
        described = _described(app, rule)
        if described is None:
            continue
        path = paths.setdefault(_VARIABLE.sub(r"{\1}", rule.rule), {})
        for method in sorted((rule.methods or set()) & set(_METHODS)):
            need = rules.need(rule.rule, is_reading=method == "GET")
            operation = _operation(rule, method, described, refs)
            path[method.lower()] = {**operation, **_security(need, ways)}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0"}},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": dict(sorted(paths.items())),
        **({"webhooks": _webhooks(webhooks, refs)} if webhooks else {}),
        "components": {
            "schemas": refs.definitions,
            "securitySchemes": {w: _WAYS_IN[w] for w in ways},
        },
    }


_SIGNED = {
    "webhook-id": "Id of the message, the same over all tries.",
    "webhook-timestamp": "When this try was sent, in seconds since 1970.",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.",
}

_WAYS_IN = {
    "token": {"type": "http", "scheme": "bearer", "description": "From `tokens add NAME`."},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "HTTP Message Signatures (RFC 9421), for edges that ask a cloud.",
    },
}


class _Schemas:
    """All schemas of an app's routes, under names of their own."""

    def __init__(self, app: Flask, posted: Sequence[type[BaseModel]]) -> None:
        described = [d for rule in _calls(app) if (d := _described(app, rule))]
        asked = [m for d in described for m in (d.query, d.form, d.body, d.fields)]
        models: dict[type[BaseModel], Any] = dict.fromkeys([Problem, *posted], "serialization")
        for d in described:
            for reply in d.says.values():
                models |= dict.fromkeys(_models(reply), "serialization")
            if d.calls_back:
                models[d.calls_back] = "serialization"
        models |= {model: "validation" for model in asked if _is_model(model)}
        wanted: Any = list(models.items())
        self._refs, top = models_json_schema(wanted, ref_template=_REF)
        self.definitions: dict[str, Any] = top.get("$defs", {})
        self._modes = models

    def ref(self, model: type[BaseModel]) -> dict[str, Any]:
        return dict(self._refs[model, self._modes[model]])

    def inside(self, model: type[BaseModel]) -> dict[str, Any]:
        """Give the schema itself, to be taken apart."""
        name = self.ref(model)["$ref"].rpartition("/")[2]
        return dict(self.definitions[name])


def _operation(rule: Rule, method: str, described: Described, refs: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', rule.rule)}".rstrip("_"),
        "summary": described.summary,
        "tags": [described.tag],
        "parameters": list(_parameters(rule, described, refs)),
        "responses": _responses(described, refs),
    }
    body = _body(described, refs)
    if body:
        operation["requestBody"] = body
    if described.calls_back:
        operation["callbacks"] = {"finished": _callback(described.calls_back, refs)}
    return operation


def _callback(model: type[BaseModel], refs: _Schemas) -> dict[str, Any]:
    """Describe the call of a receiver that the caller named."""
    message = Message(summary="Takes a result.", model=model)
    return {"{$request.query.callback_url}": {"post": _delivery(message, refs)}}


def _webhooks(messages: Mapping[str, Message], refs: _Schemas) -> dict[str, Any]:
    return {name: {"post": _delivery(message, refs)} for name, message in messages.items()}


def _delivery(message: Message, refs: _Schemas) -> dict[str, Any]:
    """Describe the call of a receiver: signed as standardwebhooks.com says."""
    is_required = message.is_always_signed
    headers = [_text_header(name, text, is_required=is_required) for name, text in _SIGNED.items()]
    return {
        "summary": message.summary,
        "description": "A message may come more than once, under the same webhook-id.",
        "parameters": headers,
        "requestBody": {"required": True, "content": {_JSON: _schema(message.model, refs)}},
        "responses": {
            "2XX": {"description": "Taken."},
            "default": {"description": message.otherwise},
        },
    }


def _text_header(name: str, text: str, *, is_required: bool) -> dict[str, Any]:
    schema = {"type": "string"}
    return {
        "name": name,
        "in": "header",
        "required": is_required,
        "description": text,
        "schema": schema,
    }


def _security(need: Need, ways: Sequence[str]) -> dict[str, Any]:
    if need is Need.NOTHING:
        return {"x-needs": need.value}
    # The empty one: on 127.0.0.1, without users, nothing is asked.
    return {"x-needs": need.value, "security": [{}, *({way: []} for way in ways)]}


def _parameters(rule: Rule, described: Described, refs: _Schemas) -> Iterator[dict[str, Any]]:
    for name in _VARIABLE.findall(rule.rule):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    query = described.query
    if query is None and isinstance(described.body, Pictures):
        query = described.fields
    if query is not None:
        schema = refs.inside(query)
        for name, inner in schema.get("properties", {}).items():
            is_required = name in schema.get("required", ())
            said = _without_null(inner)
            yield {"name": name, "in": "query", "required": is_required, "schema": said}
    for name, text in described.headers.items():
        yield _text_header(name, text, is_required=False)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Take the null out of a field that may be missing: in a query it is left away instead."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**kinds[0], **rest}


def _body(described: Described, refs: _Schemas) -> dict[str, Any] | None:
    match described.body:
        case Pictures() as pictures:
            content = _picture_content(pictures, described.fields, refs)
        case None if described.form is None:
            return None
        case None:
            content = {_FORM: _schema(described.form, refs)}
        case model:
            content = {_JSON: _schema(model, refs)}
            if described.form is not None:
                content[_FORM] = _schema(described.form, refs)
    return {"required": True, "content": content}


def _picture_content(pictures: Pictures, fields: type[BaseModel], refs: _Schemas) -> dict[str, Any]:
    beside = refs.inside(fields).get("properties", {})
    binary: dict[str, Any] = {"type": "string", "contentMediaType": "image/jpeg"}
    base64: dict[str, Any] = {"type": "string", "contentEncoding": "base64"}

    def content(one: dict[str, Any]) -> dict[str, Any]:
        several = {"type": "array", "items": one, "minItems": 1}
        is_one = pictures is Pictures.ONE
        properties = {pictures.value: one if is_one else several, **beside}
        schema = {"type": "object", "properties": properties, "required": [pictures.value]}
        return {"schema": {**schema, "additionalProperties": False}}

    raw: dict[str, Any] = {
        name: {"schema": {}} for name in ("image/jpeg", "image/png", "application/octet-stream")
    }
    return {**raw, "multipart/form-data": content(binary), _JSON: content(base64)}


def _responses(described: Described, refs: _Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, reply in described.says.items():
        found[str(status)] = {"description": reply.text}
        content = _content(reply, refs)
        if content:
            found[str(status)]["content"] = content
    problem = _schema(Problem, refs)
    found["default"] = {
        "description": "An error; see /errors.",
        "content": {_JSON: problem, "application/problem+json": problem},
    }
    return found


def _content(reply: Reply, refs: _Schemas) -> dict[str, Any]:
    if reply.is_empty:
        return {}
    if reply.media_types:
        return {media_type: {"schema": {}} for media_type in reply.media_types}
    if reply.bare is not None:
        return {_JSON: _schema(reply.bare, refs)}
    properties: dict[str, Any] = {
        "req_id": {"type": "string"},
        "err_no": {"const": 0},
        "err_msg": {"const": "success"},
        "result": refs.ref(reply.result) if reply.result else {"type": "null"},
    }
    required = list(properties)
    if reply.flat is not None:
        beside = refs.inside(reply.flat)
        properties |= beside["properties"]
        required += beside.get("required", [])
    return {
        _JSON: {
            "schema": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            }
        }
    }


def _schema(model: type[BaseModel] | None, refs: _Schemas) -> dict[str, Any]:
    return {"schema": refs.ref(model)} if model else {}


def _models(reply: Reply) -> list[type[BaseModel]]:
    return [m for m in (reply.result, reply.flat, reply.bare) if _is_model(m)]


def _is_model(value: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _calls(app: Flask) -> list[Rule]:
    return [r for r in app.url_map.iter_rules() if r.endpoint.partition(".")[0] not in _PAGES]


def _described(app: Flask, rule: Rule) -> Described | None:
    found: Described | None = getattr(app.view_functions[rule.endpoint], _ATTRIBUTE, None)
    return found
