"""The voice of the edge's console. Ring: rim."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.ui.words import words
from shared.ui.speech import Speech as AnySpeech
from shared.ui.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech(AnySpeech):
    """Says numbers, times and the texts of the edge's catalogue."""

    words: Words = field(default_factory=words)
