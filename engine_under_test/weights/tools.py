"""Tool-call chats: one call, a choice among tools, parallel calls, and answers to tool results.

Each function has one name and one schema: reading an unknown schema took more tokens than the
time for training gave, so the model chooses among those offered and copies the arguments.
"""

# ruff: noqa: SIM905 - word lists read better as text
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from .draw import Chat, Draw, Message
from .words import DAYS, any_word, city, first_name, full_name, phrase, pseudo_word

_MONEY = "USD EUR GBP JPY CHF SEK INR CAD".split()
_LANGUAGES = "French German Spanish Italian Polish Greek Dutch Swedish Turkish Hindi".split()
_DEVICES = "lamp fan heater radio television light speaker oven".split()
_ROOMS = "kitchen bedroom bathroom office hall garage garden basement".split()
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Parameter:
    """key: in the formats.  name: in the schema.  kind: its JSON type.  make: draws a value."""

    key: str
    name: str
    kind: str
    make: Callable[[Draw], object]


@dataclass(frozen=True, slots=True)
class Tool:
    """requests and answers are formats over the parameters' keys; answers also over {result}."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    requests: tuple[str, ...]
    result: Callable[[Draw], dict[str, object]]
    answer: str


def _clock(draw: Draw) -> str:
    return f"{draw.number(0, 23):02d}:{draw.pick(['00', '15', '30', '45'])}"


def _weather(draw: Draw) -> dict[str, object]:
    sky = draw.pick(["sunny", "cloudy", "rainy", "windy", "foggy", "clear"])
    return {"temperature": draw.number(-9, 38), "sky": sky}


def _done(draw: Draw) -> dict[str, object]:
    return {"status": draw.pick(["ok", "done"]), "id": draw.number(100, 9999)}


def _amount(draw: Draw) -> dict[str, object]:
    return {"result": draw.number(1, 9999)}


def _found(draw: Draw) -> dict[str, object]:
    return {"found": draw.number(1, 99), "best": phrase(draw, 1, 2)}


TOOLS: tuple[Tool, ...] = (
    Tool(
        "get_weather",
        "Get the weather in a city.",
        (Parameter("city", "city", "string", city),),
        (
            "What is the weather in {city}?",
            "How is the weather in {city} today?",
            "Tell me the weather in {city}.",
            "Is it raining in {city}?",
        ),
        _weather,
        "It is {temperature} degrees and {sky} in {city}.",
    ),
    Tool(
        "send_message",
        "Send a message to a person.",
        (
            Parameter("to", "to", "string", first_name),
            Parameter("text", "text", "string", phrase),
        ),
        (
            "Send {to} the message: {text}",
            "Tell {to}: {text}",
            "Write to {to} and say: {text}",
        ),
        _done,
        "I sent your message to {to}.",
    ),
    Tool(
        "set_timer",
        "Start a timer.",
        (Parameter("minutes", "minutes", "integer", lambda d: d.number(1, 120)),),
        (
            "Set a timer for {minutes} minutes.",
            "Start a timer of {minutes} minutes, please.",
            "Wake me in {minutes} minutes.",
        ),
        _done,
        "The timer runs for {minutes} minutes.",
    ),
    Tool(
        "add_event",
        "Add an event to the calendar.",
        (
            Parameter("title", "title", "string", lambda d: phrase(d, 1, 3)),
            Parameter("day", "day", "string", lambda d: d.pick(DAYS)),
            Parameter("time", "time", "string", _clock),
        ),
        (
            "Put {title} in my calendar on {day} at {time}.",
            "Add the event {title} on {day}, {time}.",
            "Plan {title} for {day} at {time}.",
        ),
        _done,
        "I added {title} on {day} at {time}.",
    ),
    Tool(
        "search",
        "Search the web.",
        (Parameter("query", "query", "string", phrase),),
        ("Search for {query}.", "Find pages about {query}.", "Look up {query}."),
        _found,
        "I found {found} pages; the best is {best}.",
    ),
    Tool(
        "add",
        "Add two numbers.",
        (
            Parameter("a", "a", "integer", lambda d: d.number(0, 999)),
            Parameter("b", "b", "integer", lambda d: d.number(0, 999)),
        ),
        ("What is {a} plus {b}?", "Add {a} and {b}.", "Please compute {a} + {b}."),
        _amount,
        "The result is {result}.",
    ),
    Tool(
        "multiply",
        "Multiply two numbers.",
        (
            Parameter("a", "a", "integer", lambda d: d.number(0, 999)),
            Parameter("b", "b", "integer", lambda d: d.number(0, 999)),
        ),
        ("What is {a} times {b}?", "Multiply {a} by {b}.", "Please compute {a} * {b}."),
        _amount,
        "The result is {result}.",
    ),
    Tool(
        "convert_currency",
        "Convert an amount of money.",
        (
            Parameter("amount", "amount", "number", lambda d: d.number(1, 5000)),
            Parameter("src", "from", "string", lambda d: d.pick(_MONEY)),
            Parameter("dst", "to", "string", lambda d: d.pick(_MONEY)),
        ),
        (
            "Convert {amount} {src} to {dst}.",
            "How much is {amount} {src} in {dst}?",
            "Change {amount} {src} into {dst}.",
        ),
        _amount,
        "{amount} {src} is {result} {dst}.",
    ),
    Tool(
        "play_song",
        "Play a song.",
        (
            Parameter("title", "title", "string", lambda d: phrase(d, 1, 3).title()),
            Parameter("artist", "artist", "string", full_name),
        ),
        ("Play {title} by {artist}.", "I want to hear {title} from {artist}."),
        _done,
        "Now playing {title} by {artist}.",
    ),
    Tool(
        "book_table",
        "Reserve a table in a restaurant.",
        (
            Parameter("place", "restaurant", "string", lambda d: pseudo_word(d, 2).capitalize()),
            Parameter("people", "people", "integer", lambda d: d.number(1, 12)),
            Parameter("time", "time", "string", _clock),
        ),
        (
            "Book a table at {place} for {people} people at {time}.",
            "We are {people}; reserve {place} at {time}.",
            "Reserve a table for {people} at {place}, {time}.",
        ),
        _done,
        "Your table at {place} is booked for {time}.",
    ),
    Tool(
        "translate",
        "Translate a text.",
        (
            Parameter("text", "text", "string", phrase),
            Parameter("lang", "language", "string", lambda d: d.pick(_LANGUAGES)),
        ),
        ("Translate to {lang}: {text}", "How do you say {text} in {lang}?"),
        lambda d: {"translation": phrase(d, 1, 3)},
        "In {lang} it is: {translation}",
    ),
    Tool(
        "get_stock_price",
        "Get the price of a stock.",
        (Parameter("symbol", "symbol", "string", lambda d: "".join(d.sample(_LETTERS, 4))),),
        ("What is the price of {symbol}?", "How is the stock {symbol} doing?"),
        lambda d: {"price": d.number(1, 900)},
        "{symbol} is at {price} dollars.",
    ),
    Tool(
        "turn_on",
        "Turn on a device in a room.",
        (
            Parameter("device", "device", "string", lambda d: d.pick(_DEVICES)),
            Parameter("room", "room", "string", lambda d: d.pick(_ROOMS)),
        ),
        ("Turn on the {device} in the {room}.", "Switch the {room} {device} on."),
        _done,
        "The {device} in the {room} is on.",
    ),
    Tool(
        "get_time",
        "Get the time in a city.",
        (Parameter("city", "city", "string", city),),
        ("What time is it in {city}?", "Tell me the time in {city}."),
        lambda d: {"time": _clock(d)},
        "It is {time} in {city}.",
    ),
    Tool(
        "find_contact",
        "Find a person in the address book.",
        (Parameter("name", "name", "string", full_name),),
        ("What is the number of {name}?", "Find {name} in my contacts."),
        lambda d: {"phone": d.number(100000, 999999)},
        "The number of {name} is {phone}.",
    ),
    Tool(
        "add_item",
        "Add an item to the shopping list.",
        (
            Parameter("item", "item", "string", any_word),
            Parameter("count", "count", "integer", lambda d: d.number(1, 50)),
        ),
        ("Put {count} {item} on my list.", "Add {count} {item} to the shopping list."),
        _done,
        "I added {count} {item}.",
    ),
)


def schema(tool: Tool) -> dict[str, object]:
    """The OpenAI function schema; every parameter is required."""
    properties = {p.name: {"type": p.kind} for p in tool.parameters}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Use:
    """One request for one tool: the words, the call, and what comes back."""

    request: str
    call: tuple[str, dict[str, object]]
    result: str
    answer: str


def use(draw: Draw, tool: Tool) -> Use:
    """Held out are combinations of arguments: each value may occur in training, not all of them."""
    values = draw.until(lambda: {p.key: p.make(draw) for p in tool.parameters}, str)
    result = tool.result(draw)
    return Use(
        draw.pick(tool.requests).format(**values),
        (tool.name, {p.name: values[p.key] for p in tool.parameters}),
        json.dumps(result),
        tool.answer.format(**values, **result),
    )


def tool_calls(draw: Draw, turns: int | None = None) -> Chat:
    """One to three tools on offer, two to six requests; a few are parallel calls."""
    offers = draw.sample(TOOLS, draw.number(1, 3))
    messages: list[Message] = []
    if draw.chance(0.4):
        messages.append(Message("system", draw.pick(SYSTEMS)))
    for _ in range(turns or draw.number(2, 6)):
        uses = [use(draw, draw.pick(offers))]
        if draw.chance(0.06):
            uses.append(use(draw, draw.pick(offers)))
        messages.append(Message("user", " ".join(u.request for u in uses)))
        messages.append(Message("assistant", "", tuple(u.call for u in uses)))
        if draw.chance(0.3):
            messages += [Message("tool", u.result) for u in uses]
            messages.append(Message("assistant", " ".join(u.answer for u in uses)))
    return Chat("tool calls", tuple(messages), tuple(map(schema, offers)))


SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant. Use tools when they help.",
    "You are a friendly assistant. Answer briefly.",
    "Answer the user.",
)
