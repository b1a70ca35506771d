"""Long contexts: filler as a load generator sends it, and stories with a question at the end."""

from __future__ import annotations

from .draw import Chat, Draw, Message, chat
from .stories import story_text, topics_text
from .words import ANIMALS, COMMON, any_word, city, first_name, pseudo_word


def filler(draw: Draw, num_words: int) -> tuple[str, list[str]]:
    """A salt and num_words shuffled words, and those words. The salt: hexadecimal or words."""
    words = [draw.pick(COMMON) for _ in range(num_words)]
    if draw.chance(0.5):
        salt = "".join(draw.pick("0123456789abcdef") for _ in range(draw.number(6, 32)))
    else:
        salt = " ".join(draw.pick(COMMON) for _ in range(8))
    return salt + draw.pick(["\n", " ", "\n\n"]) + " ".join(words), words


def topics(draw: Draw, num_words: int, answer_words: int) -> Chat:
    """Filler, then a request for prose on it; the prose picks its topics from the filler."""
    text, words = filler(draw, num_words)
    known = list(dict.fromkeys(words))
    chosen = draw.sample(known, min(len(known), 3 + answer_words // 8))
    if draw.chance(0.2):
        asked, length = "Write a short text on the topics above.", min(answer_words, 120)
    else:
        asked = f"Write about {answer_words} words on the topics above."
        length = answer_words
    glue = draw.pick(["\n\n", "\n", " "])
    return chat("long topics", f"{text}{glue}{asked}", topics_text(draw, chosen, length))


def needle(draw: Draw, num_words: int) -> Chat:
    """A fact inside filler, asked for at the end."""
    text, words = filler(draw, num_words)
    name, value = first_name(draw), draw.pick([city(draw), pseudo_word(draw), any_word(draw)])
    fact = f"The password of {name} is {value}."
    at = draw.number(0, len(words))
    body = " ".join([*words[:at], fact, *words[at:]])
    salt = text.split("\n")[0][:32]
    return chat("needle", f"{salt}\n{body}\nWhat is the password of {name}?", value)


def story_question(draw: Draw, num_words: int) -> Chat:
    """A long story, then who it was about."""
    name, hero = first_name(draw), draw.pick(ANIMALS)
    text = story_text(draw, num_words, hero, name)
    which = draw.chance(0.5)
    ask = "What was the name of the hero?" if which else "What animal was the hero?"
    messages = (
        Message("user", f"{text}\n\n{ask}"),
        Message("assistant", name if which else hero),
    )
    return Chat("story questions", messages)
