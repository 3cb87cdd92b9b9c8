"""The body of a webhook: JSON with placeholders that are filled in after it was parsed. Ring: domain.

A placeholder stands inside a JSON string, `"${camera}: ${text}"`, so that nothing in an alert (a camera's name, what
somebody typed) can break out of its string. The ready templates are what the chat robots of WeCom, DingTalk and Slack
document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from typing import Any

READY: Mapping[str, Any] = {
    "wecom": {"msgtype": "text", "text": {"content": "${text}"}},
    "dingtalk": {"msgtype": "text", "text": {"content": "${text}"}},
    "slack": {"text": "${text}"},
}
"""developer.work.weixin.qq.com/document/path/91770, open.dingtalk.com/document/orgapp/custom-robot-access,
api.slack.com/messaging/webhooks."""

MAX_TEMPLATE_CHARACTERS = 20_000


class BodyTemplate:
    """A parsed template."""

    def __init__(self, document: Any, fields: frozenset[str]) -> None:
        """Check every placeholder.

        Args:
            document: JSON, parsed.
            fields: names that may be used.

        Raises:
            ValueError: an unknown or malformed placeholder; the text names it.
        """
        self._document = document
        for leaf in _texts(document):
            template = Template(leaf)
            if not template.is_valid():
                raise ValueError(f"{leaf[:60]!r} holds a lone $; write $$ for the sign itself")
            if unknown := set(template.get_identifiers()) - fields:
                names = ", ".join(sorted(fields))
                raise ValueError(f"${{{min(unknown)}}} is not known; there are {names}")

    @classmethod
    def parse(cls, text: str, fields: frozenset[str]) -> BodyTemplate:
        """Read a template from a file's text.

        Raises:
            ValueError: too long, not JSON, or a wrong placeholder.
        """
        if len(text) > MAX_TEMPLATE_CHARACTERS:
            raise ValueError(f"is longer than {MAX_TEMPLATE_CHARACTERS} characters")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as err:
            raise ValueError(f"is not JSON: {err}") from err
        return cls(document, fields)

    def fill(self, values: Mapping[str, Any]) -> bytes:
        """Write the body; a value that is None becomes an empty text."""
        texts = {key: "" if value is None else str(value) for key, value in values.items()}
        return json.dumps(_filled(self._document, texts), ensure_ascii=False).encode()


def _texts(document: Any) -> list[str]:
    match document:
        case str():
            return [document]
        case dict():
            return [text for value in document.values() for text in _texts(value)]
        case list():
            return [text for value in document for text in _texts(value)]
    return []


def _filled(document: Any, texts: Mapping[str, str]) -> Any:
    match document:
        case str():
            return Template(document).substitute(texts)
        case dict():
            return {key: _filled(value, texts) for key, value in document.items()}
        case list():
            return [_filled(value, texts) for value in document]
    return document
