"""Small talk and definitions: a few dozen fixed answers, the model's only knowledge."""

from __future__ import annotations

from .draw import Chat, Draw, Message, chat

_SMALL_TALK: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("Hello!", "Hi", "Hello", "Hi there!", "Good morning!", "Hey"),
        ("Hello! How can I help you today?", "Hi! What can I do for you?"),
    ),
    (
        ("How are you?", "How are you today?", "How do you do?"),
        ("I am well, thank you. How can I help?", "Very well, thanks! And you?"),
    ),
    (
        ("Who are you?", "What are you?", "What is your name?", "Introduce yourself."),
        ("I am a tiny language model, made to test inference engines.",),
    ),
    (
        ("What can you do?", "Can you help me?", "What are you good at?", "Help"),
        (
            "I can tell stories, count, add, sort, spell, fill in JSON and call tools.",
            "Ask me for a story, a sum, a sorted list or a tool call.",
        ),
    ),
    (
        ("Thank you!", "Thanks", "Thanks a lot!", "Thank you very much."),
        ("You are welcome!", "My pleasure.", "Glad to help."),
    ),
    (
        ("Goodbye", "Bye!", "See you later.", "Good night."),
        ("Goodbye! Have a nice day.", "See you soon!"),
    ),
    (
        ("Tell me a joke.", "Do you know a joke?", "Make me laugh."),
        (
            "Why did the token cross the context? To get to the other side of the window.",
            "A server walks into a bar. The bartender says: five hundred.",
        ),
    ),
    (
        ("Are you a human?", "Are you real?", "Are you a robot?"),
        ("No, I am a small computer program that writes text.",),
    ),
    (
        ("How old are you?", "When were you made?"),
        ("I was trained in about an hour, so I am very young.",),
    ),
    (
        ("What is your favourite colour?", "What colour do you like?"),
        ("I like green, the colour of a passing test.",),
    ),
    (
        ("Say something.", "Tell me something.", "Talk to me."),
        ("The river runs to the sea, and a small model writes about it.",),
    ),
    (
        ("What is the weather like?", "Is it cold today?"),
        ("I cannot look outside without a tool, but I hope it is sunny.",),
    ),
)

_DEFINITIONS = {
    "river": "A river is a long stream of water that flows to the sea.",
    "mountain": "A mountain is a very high hill made of rock.",
    "forest": "A forest is a large area covered with trees.",
    "library": "A library is a place where people borrow books.",
    "clock": "A clock is a machine that shows the time.",
    "bridge": "A bridge is a road that crosses over water.",
    "teacher": "A teacher is a person who helps others to learn.",
    "island": "An island is land with water on every side.",
    "token": "A token is a small piece of text that a model reads or writes.",
    "computer": "A computer is a machine that follows instructions.",
    "queue": "A queue is a line of things that wait for their turn.",
    "cache": "A cache is a store that keeps things close at hand for later.",
    "server": "A server is a computer that answers requests.",
    "latency": "Latency is the time between a request and its answer.",
    "throughput": "Throughput is the amount of work done in a second.",
    "scheduler": "A scheduler decides which work runs next.",
    "batch": "A batch is a group of things that are done together.",
    "memory": "Memory is the place where a computer keeps its data.",
    "bird": "A bird is an animal with feathers and wings.",
    "fish": "A fish is an animal that lives in water and breathes through gills.",
    "winter": "Winter is the coldest season of the year.",
    "summer": "Summer is the warmest season of the year.",
    "bread": "Bread is a food baked from flour and water.",
    "key": "A key is a piece of metal that opens a lock.",
    "lamp": "A lamp is a thing that gives light.",
    "farmer": "A farmer is a person who grows food.",
    "doctor": "A doctor is a person who helps the sick.",
    "baker": "A baker is a person who makes bread.",
    "harbour": "A harbour is a safe place for ships.",
    "letter": "A letter is a written message to a person.",
    "story": "A story is a telling of things that happened or might have happened.",
    "number": "A number is a word or sign that says how many.",
    "friend": "A friend is a person you like and trust.",
    "school": "A school is a place where children learn.",
    "garden": "A garden is a piece of land where plants are grown.",
    "music": "Music is sound that people make to enjoy it.",
}


def small_talk(draw: Draw) -> Chat:
    questions, answers = draw.pick(_SMALL_TALK)
    return chat("small talk", draw.pick(questions), draw.pick(answers))


def definition(draw: Draw) -> Chat:
    word = draw.pick(tuple(_DEFINITIONS))
    article = "an" if word[0] in "aeiou" else "a"
    asks = ("What is {a} {w}?", "What does the word {w} mean?", "Define {w}.", "Explain {w}.")
    return chat("definitions", draw.pick(asks).format(a=article, w=word), _DEFINITIONS[word])


def with_system(draw: Draw, inner: Chat) -> Chat:
    """The same chat under a system prompt that changes nothing."""
    systems = (
        "You are a helpful assistant.",
        "You are a helpful assistant. Answer briefly.",
        "You are a concise and friendly assistant.",
        "Answer the user's question.",
        "You are a test model.",
    )
    if inner.messages[0].role == "system":
        return inner
    return inner._replace(messages=(Message("system", draw.pick(systems)), *inner.messages))
