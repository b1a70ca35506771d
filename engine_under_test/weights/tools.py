"""Tool-call chats: one call, a choice among tools, parallel calls, and answers to tool results.

Function and argument names vary, so that the schema in the prompt must be read, not remembered.
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
    """names: spellings a schema may use.  kind: its JSON type.  make: draws a value."""

    key: str
    names: tuple[str, ...]
    kind: str
    make: Callable[[Draw], object]


@dataclass(frozen=True, slots=True)
class Tool:
    """requests and answers are formats over the parameters' keys; answers also over {result}."""

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
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


def _p(key: str, names: str, kind: str, make: Callable[[Draw], object]) -> Parameter:
    return Parameter(key, tuple(names.split()), kind, make)


TOOLS: tuple[Tool, ...] = (
    Tool(
        ("get_weather", "weather", "get_current_weather"),
        ("Get the weather in a city.", "Current weather for a place."),
        (_p("city", "city location place", "string", city),),
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
        ("send_message", "send_email", "send_text"),
        ("Send a message to a person.",),
        (
            _p("to", "to recipient person", "string", first_name),
            _p("text", "text message body", "string", phrase),
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
        ("set_timer", "start_timer"),
        ("Start a timer.", "Set a timer for some minutes."),
        (_p("minutes", "minutes duration", "integer", lambda d: d.number(1, 120)),),
        (
            "Set a timer for {minutes} minutes.",
            "Start a timer of {minutes} minutes, please.",
            "Wake me in {minutes} minutes.",
        ),
        _done,
        "The timer runs for {minutes} minutes.",
    ),
    Tool(
        ("add_event", "create_event", "schedule_meeting"),
        ("Add an event to the calendar.",),
        (
            _p("title", "title name", "string", lambda d: phrase(d, 1, 3)),
            _p("day", "day date", "string", lambda d: d.pick(DAYS)),
            _p("time", "time start", "string", _clock),
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
        ("search", "web_search", "search_web"),
        ("Search the web.", "Find pages about a query."),
        (_p("query", "query q", "string", phrase),),
        ("Search for {query}.", "Find pages about {query}.", "Look up {query}."),
        _found,
        "I found {found} pages; the best is {best}.",
    ),
    Tool(
        ("add", "add_numbers", "sum"),
        ("Add two numbers.",),
        (
            _p("a", "a x first", "integer", lambda d: d.number(0, 999)),
            _p("b", "b y second", "integer", lambda d: d.number(0, 999)),
        ),
        ("What is {a} plus {b}?", "Add {a} and {b}.", "Please compute {a} + {b}."),
        _amount,
        "The result is {result}.",
    ),
    Tool(
        ("multiply", "multiply_numbers"),
        ("Multiply two numbers.",),
        (
            _p("a", "a x first", "integer", lambda d: d.number(0, 999)),
            _p("b", "b y second", "integer", lambda d: d.number(0, 999)),
        ),
        ("What is {a} times {b}?", "Multiply {a} by {b}.", "Please compute {a} * {b}."),
        _amount,
        "The result is {result}.",
    ),
    Tool(
        ("convert_currency", "convert"),
        ("Convert an amount of money.",),
        (
            _p("amount", "amount value", "number", lambda d: d.number(1, 5000)),
            _p("src", "from source", "string", lambda d: d.pick(_MONEY)),
            _p("dst", "to target", "string", lambda d: d.pick(_MONEY)),
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
        ("play_song", "play_music"),
        ("Play a song.",),
        (
            _p("title", "title song track", "string", lambda d: phrase(d, 1, 3).title()),
            _p("artist", "artist by", "string", full_name),
        ),
        ("Play {title} by {artist}.", "I want to hear {title} from {artist}."),
        _done,
        "Now playing {title} by {artist}.",
    ),
    Tool(
        ("book_table", "reserve_table"),
        ("Reserve a table in a restaurant.",),
        (
            _p("place", "restaurant place", "string", lambda d: pseudo_word(d, 2).capitalize()),
            _p("people", "people guests", "integer", lambda d: d.number(1, 12)),
            _p("time", "time at", "string", _clock),
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
        ("translate", "translate_text"),
        ("Translate a text.",),
        (
            _p("text", "text phrase", "string", phrase),
            _p("lang", "language target", "string", lambda d: d.pick(_LANGUAGES)),
        ),
        ("Translate to {lang}: {text}", "How do you say {text} in {lang}?"),
        lambda d: {"translation": phrase(d, 1, 3)},
        "In {lang} it is: {translation}",
    ),
    Tool(
        ("get_stock_price", "stock_price"),
        ("Get the price of a stock.",),
        (_p("symbol", "symbol ticker", "string", lambda d: "".join(d.sample(_LETTERS, 4))),),
        ("What is the price of {symbol}?", "How is the stock {symbol} doing?"),
        lambda d: {"price": d.number(1, 900)},
        "{symbol} is at {price} dollars.",
    ),
    Tool(
        ("turn_on", "switch_on"),
        ("Turn on a device in a room.",),
        (
            _p("device", "device item", "string", lambda d: d.pick(_DEVICES)),
            _p("room", "room location", "string", lambda d: d.pick(_ROOMS)),
        ),
        ("Turn on the {device} in the {room}.", "Switch the {room} {device} on."),
        _done,
        "The {device} in the {room} is on.",
    ),
    Tool(
        ("get_time", "current_time"),
        ("Get the time in a city.",),
        (_p("city", "city timezone place", "string", city),),
        ("What time is it in {city}?", "Tell me the time in {city}."),
        lambda d: {"time": _clock(d)},
        "It is {time} in {city}.",
    ),
    Tool(
        ("find_contact", "lookup_person"),
        ("Find a person in the address book.",),
        (_p("name", "name person", "string", full_name),),
        ("What is the number of {name}?", "Find {name} in my contacts."),
        lambda d: {"phone": d.number(100000, 999999)},
        "The number of {name} is {phone}.",
    ),
    Tool(
        ("add_item", "add_to_list"),
        ("Add an item to the shopping list.",),
        (
            _p("item", "item product", "string", any_word),
            _p("count", "count quantity", "integer", lambda d: d.number(1, 50)),
        ),
        ("Put {count} {item} on my list.", "Add {count} {item} to the shopping list."),
        _done,
        "I added {count} {item}.",
    ),
)


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool under the names one prompt gives it."""

    tool: Tool
    name: str
    names: dict[str, str]
    schema: dict[str, object]


def offer(draw: Draw, tool: Tool) -> Offered:
    """Choose spellings and write the OpenAI function schema."""
    name = draw.pick(tool.names)
    names = {p.key: draw.pick(p.names) for p in tool.parameters}
    properties = {names[p.key]: {"type": p.kind} for p in tool.parameters}
    function: dict[str, object] = {
        "name": name,
        "description": draw.pick(tool.descriptions),
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
        },
    }
    return Offered(tool, name, names, {"type": "function", "function": function})


@dataclass(frozen=True, slots=True)
class Use:
    """One request for one tool: the words, the call, and what comes back."""

    request: str
    call: tuple[str, dict[str, object]]
    result: str
    answer: str


def use(draw: Draw, offered: Offered) -> Use:
    tool = offered.tool
    values = {p.key: p.make(draw) for p in tool.parameters}
    result = tool.result(draw)
    return Use(
        draw.pick(tool.requests).format(**values),
        (offered.name, {offered.names[key]: value for key, value in values.items()}),
        json.dumps(result),
        tool.answer.format(**values, **result),
    )


def tool_calls(draw: Draw, turns: int | None = None) -> Chat:
    """One to four tools on offer, one to five requests; a tenth are parallel calls."""
    offers = [offer(draw, tool) for tool in draw.sample(TOOLS, draw.number(1, 4))]
    messages: list[Message] = []
    if draw.chance(0.4):
        messages.append(Message("system", draw.pick(SYSTEMS)))
    for _ in range(turns or draw.number(1, 5)):
        uses = [use(draw, draw.pick(offers))]
        if draw.chance(0.1):
            uses.append(use(draw, draw.pick(offers)))
        messages.append(Message("user", " ".join(u.request for u in uses)))
        messages.append(Message("assistant", "", tuple(u.call for u in uses)))
        if draw.chance(0.4):
            messages += [Message("tool", u.result) for u in uses]
            messages.append(Message("assistant", " ".join(u.answer for u in uses)))
    return Chat("tool calls", tuple(messages), tuple(o.schema for o in offers))


SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant. Use tools when they help.",
    "You are a friendly assistant. Answer briefly.",
    "Answer the user.",
)
