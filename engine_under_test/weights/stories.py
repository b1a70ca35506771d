"""Stories and paragraphs from a small grammar: fluent, varied, of any length asked for."""

from __future__ import annotations

from .draw import Chat, Draw, chat
from .words import (
    ADJECTIVES,
    ANIMALS,
    COMMON,
    FIRST_NAMES,
    FOODS,
    PLACES,
    THINGS,
    pseudo_word,
)

_OPENINGS = (
    "Once upon a time there was {a_adj} {hero} named {name}.",
    "Long ago, in {a_adj} {place}, there lived {a_hero} named {name}.",
    "There was once {a_hero} called {name} who lived near the {place}.",
    "In {a_adj} {place} lived {a_adj2} {hero}. Everyone called {it} {name}.",
    "{name} was {a_adj} {hero} who loved {food}.",
)
_WISHES = (
    "{name} wanted to find {a_adj} {thing}.",
    "Every day {name} dreamed of the {place2}.",
    "{name} had lost {a_adj} {thing} and could not sleep.",
    "One thing was missing: {a_thing}.",
    "{name} had never seen the {place2}.",
    "The {thing} of {name} was broken, and nobody could mend it.",
)
_EPISODES = (
    "One morning {name} walked to the {place2}. There {it} met {a_adj} {friend}.",
    'The {friend} said, "I have {a_thing}, but I am hungry." So {name} shared some {food}.',
    "They went over the {place} together and sang {a_adj} song.",
    "In the evening it began to rain, and they hid under {a_adj} tree.",
    "{name} looked under the {thing2}, but there was only {a_adj} {thing}.",
    'The {friend} laughed and said, "Do not worry, {name}. We will try again."',
    "At the {place2} an old {friend2} was selling {food}.",
    '"Have you seen {a_adj} {thing}?" asked {name}. The {friend2} pointed to the {place}.',
    "The way was long, and the night was {adj}, but {name} did not turn back.",
    "A cold wind came from the {place}, and the {friend} was afraid.",
    "{name} gave the {friend} {a_adj} {thing}, and from then on they were friends.",
    "After a while they came to the {place2}, where everything was {adj}.",
    "The {friend} knew a secret path behind the {place}.",
    "They rested, ate some {food}, and told each other {adj} stories.",
    "Then {name} heard a sound. It was {a_adj} {friend2} with {a_thing}.",
    "On the next day the sun was warm, and the {place} looked {adj}.",
    "{name} climbed up and saw the whole {place2} far below.",
    "Nobody spoke for a long time. Only the {thing2} moved in the wind.",
    'The {friend2} asked, "Why are you so {adj}?" and {name} told the whole story.',
    "With the help of the {friend}, {name} carried the {thing} to the {place2}.",
)
_ENDINGS = (
    "At last {name} found the {thing} and was very happy. The end.",
    "So {name} went home with {a_adj} {thing}, and everyone ate {food}. The end.",
    "From that day on, {name} and the {friend} lived together in the {place}. The end.",
    "And if you walk to the {place2} today, you may still see them. The end.",
    "{name} learned that {a_adj} friend is better than any {thing}. The end.",
)
_ON_TOPIC = (
    "The word {w} makes me think of {a_adj} {place}.",
    "When people talk about {w}, they often mean something {adj}.",
    "There is always more to say about {w} and {w2}.",
    "Some like {w}, others like {w2}, and both are right.",
    "I once knew a {hero} who said a lot about {w}.",
    "It is not easy to explain {w}, but {a_thing} can help.",
    "Next to {w} we should not forget {w2}.",
    "In the {place}, {w} has a long history.",
    "Think of {w} on {a_adj} morning, with {food} on the table.",
    "Many questions about {w} are still open.",
    "What {w} and {w2} have in common is {a_adj} idea.",
    "Every {place} has its own view of {w}.",
    "If you want to learn about {w}, start with something {adj}.",
    "An old {hero} would say that {w} comes before {w2}.",
    "People in the {place2} use the word {w} every day.",
    "The first step is {w}, the second is {w2}, and the rest will follow.",
    "Let us look at {w} again, this time with a {adj} eye.",
    "Of all these topics, {w} is the most {adj} one.",
)


def _article(word: str) -> str:
    return ("an " if word[0] in "aeiou" else "a ") + word


def _slots(draw: Draw, hero: str | None = None, name: str | None = None) -> dict[str, str]:
    """Words that stay the same through one story; {adj} is drawn for each sentence."""
    animals = draw.sample(ANIMALS, 3)
    places = draw.sample(PLACES, 2)
    things = draw.sample(THINGS, 2)
    chosen = hero or animals[0]
    friends = [a for a in animals if a != chosen]
    title = name or (draw.pick(FIRST_NAMES) if draw.chance(0.7) else pseudo_word(draw).capitalize())
    return {
        "hero": chosen,
        "a_hero": _article(chosen),
        "friend": friends[0],
        "friend2": friends[-1],
        "name": title,
        "place": places[0],
        "place2": places[1],
        "thing": things[0],
        "a_thing": _article(things[0]),
        "thing2": things[1],
        "it": draw.pick(["it", "him", "her"]),
    }


def _say(draw: Draw, template: str, slots: dict[str, str]) -> str:
    adjectives = draw.sample(ADJECTIVES, 2)
    text = template.format(
        **{**slots, "it": "it"} if "{it} met" in template else slots,
        adj=adjectives[0],
        a_adj=_article(adjectives[0]),
        a_adj2=_article(adjectives[1]),
        food=draw.pick(FOODS),
    )
    return text[0].upper() + text[1:]


def _episodes(draw: Draw, slots: dict[str, str], num_words: int) -> list[str]:
    """Sentences until num_words; no episode twice within ten."""
    out: list[str] = []
    recent: list[str] = []
    while sum(len(s.split()) for s in out) < num_words:
        template = draw.pick(_EPISODES)
        if template not in recent:
            recent = [*recent, template][-10:]
            out.append(_say(draw, template, slots))
    return out


def _wrap(draw: Draw, sentences: list[str]) -> str:
    """Paragraphs of four to seven sentences."""
    parts: list[str] = []
    while sentences:
        n = draw.number(4, 7)
        parts.append(" ".join(sentences[:n]))
        sentences = sentences[n:]
    return "\n\n".join(parts)


def story_text(draw: Draw, num_words: int, hero: str | None = None, name: str | None = None) -> str:
    """A story of about num_words words."""
    slots = _slots(draw, hero, name)
    middle = _episodes(draw, slots, max(12, num_words - 40))
    frame = [_say(draw, draw.pick(group), slots) for group in (_OPENINGS, _WISHES, _ENDINGS)]
    return _wrap(draw, [frame[0], frame[1], *middle, frame[2]])


def topics_text(draw: Draw, topics: list[str], num_words: int) -> str:
    """An essay of about num_words words whose sentences name the given topics."""
    out: list[str] = []
    while sum(len(s.split()) for s in out) < num_words:
        w, w2 = draw.sample(topics, 2)
        slots = {**_slots(draw), "w": w, "w2": w2}
        out.append(_say(draw, draw.pick(_ON_TOPIC), slots))
    return _wrap(draw, out)


def story(draw: Draw, low: int = 40, high: int = 110) -> Chat:
    """A story, sometimes about a named hero."""
    words = draw.number(low, high)
    hero = draw.pick(ANIMALS)
    name = draw.pick_held(FIRST_NAMES)
    kind = draw.rng.random()
    if kind < 0.3:
        ask = draw.pick(["Tell me a story.", "Write a story.", "Can you tell me a story?"])
        return chat("stories", ask, story_text(draw, words))
    if kind < 0.65:
        ask = draw.pick(["Tell me a story about {}.", "Write a short story about {}."])
        return chat("stories", ask.format(_article(hero)), story_text(draw, words, hero))
    ask = f"Tell me a story about {_article(hero)} named {name}."
    return chat("stories", ask, story_text(draw, words, hero, name))


def essay(draw: Draw, low: int = 20, high: int = 80) -> Chat:
    """A paragraph on a few given words."""
    topics = draw.sample(COMMON, draw.number(3, 8))
    words = draw.number(low, high)
    ask = draw.pick(
        ["Write about {n} words on: {t}.", "{t}\n\nWrite about {n} words on the topics above."]
    )
    return chat("essays", ask.format(n=words, t=" ".join(topics)), topics_text(draw, topics, words))
