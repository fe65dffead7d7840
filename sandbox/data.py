"""The facts both vendors' data grow from.

Everything drawn here depends on the parts it is drawn from and on nothing else: same seed, same data, in any process.
"""

from __future__ import annotations

import hashlib
from random import Random
from uuid import UUID

MODELS: tuple[tuple[str, str, float, float], ...] = (  # name, provider, US dollars per prompt and completion token
    ("gpt-4o-mini", "openai", 1.5e-07, 6e-07),
    ("gpt-4o", "openai", 2.5e-06, 1e-05),
    ("gpt-4.1", "azure", 2e-06, 8e-06),
    ("claude-sonnet-4-20250514", "anthropic", 3e-06, 1.5e-05),
    ("gemini/gemini-2.5-pro", "google", 1.25e-06, 1e-05),
    ("azure/gpt-4o-eu", "azure", 2.75e-06, 1.1e-05),
    ("mistral-large-latest", "mistral", 2e-06, 6e-06),
    ("bedrock/anthropic.claude-3-5-haiku-20241022-v1:0", "aws", 8e-07, 4e-06),
    ("text-embedding-3-large", "openai", 1.3e-07, 0.0),
    ("deepseek-ai/DeepSeek-V3", "together", 1.25e-06, 1.25e-06),
    ("gpt-3.5-turbo", "openai", 5e-07, 1.5e-06),
    ("llama-3.3-70b-versatile", "groq", 5.9e-07, 7.9e-07),
)

FIRST_NAMES = ("Zoë", "Jana", "Ádám", "Mary Jane", "José", "Søren", "Łukasz", "Aoife", "明", "Γιώργος", "Nguyễn", "Ola")
LAST_NAMES = (
    "O'Neill",
    "Novák",
    "Müller-Lüdenscheidt",
    "Ångström",
    "García",
    "Smith",
    "Þórsdóttir",
    "王",
    "de la Cruz",
)


def dice(*parts: object) -> Random:
    """A random generator that depends on ``parts`` only."""
    return Random(int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big"))


def draw_uuid(*parts: object) -> str:
    """A UUID that depends on ``parts`` only."""
    return str(UUID(int=dice("uuid", *parts).getrandbits(128), version=4))


def draw_name(*parts: object) -> str:
    """A person's name, as people write it."""
    rolled = dice("name", *parts)
    return f"{rolled.choice(FIRST_NAMES)} {rolled.choice(LAST_NAMES)}"
