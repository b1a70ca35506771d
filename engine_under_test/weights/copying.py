"""Tasks whose answer stands in the prompt: repeating, picking, spelling, JSON extraction."""

# ruff: noqa: SIM905 - word lists read better as text
from __future__ import annotations

import json
from collections.abc import Callable

from .draw import Chat, Draw, chat
from .words import (
    CITIES,
    COMMON,
    DAYS,
    ITEMS,
    MONTHS,
    any_word,
    city,
    first_name,
    full_name,
    phrase,
    pseudo_word,
)


def repeating(draw: Draw) -> Chat:
    """Say a list of words again, whole or one of them."""
    words = draw.until(lambda: [any_word(draw) for _ in range(draw.number(1, 7))], str)
    if draw.chance(0.2):
        words = ["".join(str(draw.number(0, 9)) for _ in range(draw.number(1, 5))) for _ in words]
    if draw.chance(0.3):
        words = [w.capitalize() for w in words]
    glue = draw.pick([" ", " ", ", "])
    text = glue.join(words)
    kind = draw.rng.random()
    if kind < 0.55:
        ask = draw.pick(["Repeat after me: {}", "Repeat: {}", "Say this again: {}", "Copy: {}"])
        return chat("repeating", ask.format(text), text)
    if kind < 0.75:
        ask = draw.pick(["Put these words in quotes: {}", "Quote each word: {}"])
        return chat("repeating", ask.format(text), ", ".join(f'"{w}"' for w in words))
    if kind < 0.9:
        return chat("repeating", f"Make a JSON list of: {text}", json.dumps(words))
    place = draw.pick([0, -1])
    name = "first" if place == 0 else "last"
    return chat("repeating", f"What is the {name} word of: {text}", words[place])


def _piece(draw: Draw) -> str:
    """A word, a pseudo-word, a number or a tangle: what comes next is never predictable."""
    kind = draw.rng.random()
    if kind < 0.35:
        return any_word(draw)
    if kind < 0.7:
        made = pseudo_word(draw)
        return made.capitalize() if draw.chance(0.4) else made
    if kind < 0.85:
        return "".join(str(draw.number(0, 9)) for _ in range(draw.number(1, 6)))
    return "".join(draw.pick([pseudo_word(draw, 1), draw.pick("-_.:@/#+=")]) for _ in range(4))


def tangle(draw: Draw) -> Chat:
    """Long random text again, or the values that belong to some keys: copying, and nothing else."""
    if draw.chance(0.5):
        count = int(2 ** (draw.rng.random() * 5))
        text = draw.pick([" ", " ", ", ", "\n"]).join(_piece(draw) for _ in range(count))
        return chat(
            "tangle", draw.pick(["Repeat: {}", "Copy: {}", "{}\nAgain."]).format(text), text
        )
    keys = sorted({any_word(draw) for _ in range(draw.number(2, 7))})
    draw.rng.shuffle(keys)
    values = {key: " ".join(_piece(draw) for _ in range(draw.number(1, 3))) for key in keys}
    wanted = draw.sample(keys, draw.number(1, len(keys)))
    listed = "; ".join(f"{key} is {value}" for key, value in values.items())
    answer = json.dumps({key: values[key] for key in wanted})
    return chat("tangle", f"{listed}.\nGive {', '.join(wanted)}.", answer)


def quoting(draw: Draw) -> Chat:
    """Many words in quotes: after a space and after a quote a common word is two different tokens,
    and which belong together has to be met once for each of them. Training only.
    """
    words = [any_word(draw) for _ in range(draw.number(6, 24))]
    words = [w.capitalize() for w in words] if draw.chance(0.25) else words
    asked = draw.pick([" ", ", "]).join(words)
    if draw.chance(0.5):
        return chat("quoting", f"Make a JSON list of: {asked}", json.dumps(words))
    return chat("quoting", f"Quote each word: {asked}", ", ".join(f'"{w}"' for w in words))


def spelling(draw: Draw) -> Chat:
    """Letter by letter."""
    word = draw.pick_held(COMMON) if draw.chance(0.7) else pseudo_word(draw)
    ask = draw.pick(["Spell the word {}.", "How do you spell {}?", "Spell {}."])
    return chat("spelling", ask.format(word), "-".join(word))


Field = tuple[str, str, object]
Schema = Callable[[Draw], tuple[list[Field], list[str]]]


def _person(draw: Draw) -> tuple[list[Field], list[str]]:
    job = draw.pick("nurse baker pilot teacher farmer painter driver writer judge cook".split())
    fields: list[Field] = [
        ("name", "name", full_name(draw)),
        ("age", "age", draw.number(18, 90)),
        ("city", "city", city(draw)),
        ("job", "job", job),
    ]
    return fields, [
        "{name} is {age} years old, lives in {city} and works as a {job}.",
        "My name is {name}. I am a {job} from {city} and I am {age}.",
        "In {city} I met {name}, a {job} of {age} years.",
        "{name}, {age}, is a {job}. Home is {city}.",
    ]


def _order(draw: Draw) -> tuple[list[Field], list[str]]:
    fields: list[Field] = [
        ("customer", "customer", first_name(draw)),
        ("quantity", "quantity", draw.number(2, 99)),
        ("item", "item", draw.pick(ITEMS) if draw.chance(0.7) else pseudo_word(draw) + "s"),
        ("price", "price", draw.number(1, 500)),
    ]
    return fields, [
        "{customer} ordered {quantity} {item} for {price} dollars.",
        "Please send {quantity} {item} to {customer}; the price is {price} dollars.",
        "For {price} dollars, {customer} bought {quantity} {item}.",
    ]


def _trip(draw: Draw) -> tuple[list[Field], list[str]]:
    fields: list[Field] = [
        ("from", "from", city(draw)),
        ("to", "to", city(draw)),
        ("day", "day", draw.pick(DAYS)),
        ("number", "number", f"{draw.pick('ABCDEFGHKLMNPQRSTUVWXYZ')}{draw.number(10, 999)}"),
    ]
    return fields, [
        "Train {number} goes from {from} to {to} on {day}.",
        "On {day} I travel to {to} from {from} with train {number}.",
        "Flight {number} leaves {from} on {day} and lands in {to}.",
    ]


def _book(draw: Draw) -> tuple[list[Field], list[str]]:
    fields: list[Field] = [
        ("title", "title", phrase(draw).title()),
        ("author", "author", full_name(draw)),
        ("year", "year", draw.number(1800, 2025)),
    ]
    return fields, [
        '"{title}" was written by {author} in {year}.',
        "In {year}, {author} published {title}.",
        "I read {title} by {author}, printed in {year}.",
    ]


def _contact(draw: Draw) -> tuple[list[Field], list[str]]:
    name = full_name(draw)
    mail = f"{name.split()[0].lower()}@{pseudo_word(draw, 2)}.{draw.pick(['com', 'org', 'net'])}"
    phone = "".join(str(draw.number(0, 9)) for _ in range(draw.number(6, 8)))
    fields: list[Field] = [("name", "name", name), ("email", "email", mail)]
    fields.append(("phone", "phone", phone))
    return fields, [
        "Write to {name} at {email} or call {phone}.",
        "{name} has the phone number {phone} and the address {email}.",
        "Contact: {name}, {email}, phone {phone}.",
    ]


def _event(draw: Draw) -> tuple[list[Field], list[str]]:
    fields: list[Field] = [
        ("title", "title", phrase(draw, 1, 3)),
        ("date", "date", f"{draw.pick(MONTHS)} {draw.number(1, 28)}"),
        ("time", "time", f"{draw.number(0, 23):02d}:{draw.pick(['00', '15', '30', '45'])}"),
        ("place", "place", draw.pick(CITIES)),
    ]
    return fields, [
        "The {title} is on {date} at {time} in {place}.",
        "Join us in {place} for the {title}, {date}, {time}.",
        "At {time} on {date} the {title} starts in {place}.",
    ]


SCHEMAS: tuple[Schema, ...] = (_person, _order, _trip, _book, _contact, _event)


def extraction(draw: Draw) -> Chat:
    """Some fields of a sentence as JSON, in the order of the schema."""
    fields, templates = draw.until(lambda: draw.pick(SCHEMAS)(draw), lambda made: str(made[0]))
    values = {key: value for key, _, value in fields}
    text = draw.pick(templates).format(**values)
    chosen = draw.sample(fields, draw.number(2, len(fields)))
    names = [key for key, _, _ in fields if key in {key for key, _, _ in chosen}]
    listed = ", ".join(names[:-1]) + " and " + names[-1]
    ask = draw.pick(
        [
            "Extract {keys} as JSON: {text}",
            "Extract the {keys} as JSON.\n{text}",
            "{text}\nGive me {keys} as JSON.",
            "Return JSON with {keys}.\nText: {text}",
        ]
    )
    answer = json.dumps({key: values[key] for key in names})
    return chat("extraction", ask.format(keys=listed, text=text), answer)
