"""python scenarios/prompts/make_copying.py: writes copying.jsonl beside it, the same every time.

Chats whose last answer can be copied from what stands before it: fields picked out of a sentence,
lists rewritten, three worked examples first. They are what drafts by look-up are good at. Each asks
for about as many tokens as the right answer has.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
NUM_CHATS = 120
NUM_EXAMPLES = 3
CHARS_PER_TOK = 2.05  # of such answers, in the vocabulary of the tiny pair
Exchange = tuple[str, str]


def contact(rng: random.Random, words: list[str]) -> Exchange:
    first, last, domain = (rng.choice(words).capitalize() for _ in range(3))
    name, email = f"{first} {last}", f"{first.lower()}@{domain.lower()}.com"
    phone = str(rng.randint(100_000, 9_999_999))
    asked = f"Extract name and email as JSON: Write to {name} at {email} or call {phone}."
    return asked, json.dumps({"name": name, "email": email})


def quoted(rng: random.Random, words: list[str]) -> Exchange:
    chosen = rng.sample(words, 6)
    answer = ", ".join(f'"{word}"' for word in chosen)
    return f"Put these words in quotes: {', '.join(chosen)}", answer


def listed(rng: random.Random, words: list[str]) -> Exchange:
    chosen = rng.sample(words, 6)
    return f"Make a JSON list of: {' '.join(chosen)}", json.dumps(chosen)


def repeated(rng: random.Random, words: list[str]) -> Exchange:
    text = ", ".join(rng.sample(words, 7))
    return f"Repeat after me: {text}", text


TASKS: tuple[Callable[[random.Random, list[str]], Exchange], ...] = (
    contact, quoted, listed, repeated,
)  # fmt: skip


def main() -> None:
    """One chat a line: {"messages": [...], "output_tokens": n}."""
    rng = random.Random(7)
    text = (HERE.parent / "words" / "en.txt").read_text(encoding="utf-8")
    words = [word for word in text.split() if len(word) <= 8]
    lines = []
    for i in range(NUM_CHATS):
        task, messages = TASKS[i % len(TASKS)], []
        for asked, answered in [task(rng, words) for _ in range(NUM_EXAMPLES + 1)]:
            messages += [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answered},
            ]
        num_tokens = round(len(messages[-1]["content"]) / CHARS_PER_TOK)
        lines.append(json.dumps({"messages": messages[:-1], "output_tokens": num_tokens}))
    (HERE / "copying.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
