"""The words of a salt, and the shape of a synthetic prompt.

Salt words all have four letters and are very common: one token each for the tokenizers of real
models, and one length for those that spell. The vocabulary of prompts comes with the materials.
"""

from __future__ import annotations

from collections.abc import Sequence

# Replaced by a salt just before sending. ASCII letters only: it means the same inside JSON.
SALT_MARK = "XSALTMARKX"

SALT_LENGTH_WORDS = 8

_FOUR_LETTERS = """
able also area army away baby back ball band bank base bath bear beat been bell belt best
bird blue boat body bone book born both bowl burn busy cake call calm came camp card care case
cash cast cell chat city club coal coat code cold come cook cool copy corn cost crew crop dark
data date dawn dead deal dear debt deep desk diet door down draw drop dust duty each earn east
easy edge else even ever exam face fact fade fair fall farm fast fear feed feel feet file fill
film find fine fire firm fish five flag flat flow food foot form four free from fuel full fund
gain game gate gave gift girl give glad goal goes gold golf gone good gray grew grow hair half
hall hand hang hard hate have head hear heat held help here hero high hill hold hole home hope
hour huge idea inch into iron item join jump jury just keep kept kick kind king knee knew know
lack lady lake land lane last late lead leaf left less life lift like line link list live load
loan lock long look lord lose loss lost love luck made mail main make male many mark mass meal
mean meat meet menu mild mile milk mind mine miss mode mood moon more most move much must name
near neck need news next nice nine none noon nose note once only onto open oven over pace pack
page paid pain pair park part pass past path peak
"""
SALT_WORDS: tuple[str, ...] = tuple(_FOUR_LETTERS.split())


def instruction(asked_out: int, tok_per_word: float) -> str:
    """The closing line of a prompt: prose of about the asked length. asked_out -1: not limited."""
    if asked_out < 1:
        return "Write a short text on the topics above."
    return f"Write about {max(1, round(asked_out / tok_per_word))} words on the topics above."


def probe_words(n: int, words: Sequence[str]) -> str:
    """A prompt of exactly n whitespace-separated words in the shape that ContentMaker sends.

    words: the materials' vocabulary. The same n gives the same text; a longer one only adds words.
    Two of them calibrate a TokenPlan. n is at least 24.
    """
    opening = " ".join(SALT_WORDS[:SALT_LENGTH_WORDS])
    closing = instruction(100, 1.0)
    count = max(0, n - SALT_LENGTH_WORDS - len(closing.split()))
    # a stride coprime with any vocabulary walks it evenly without a generator
    body = " ".join(words[(7919 * k) % len(words)] for k in range(count))
    return f"{opening}\n\n{body}\n\n{closing}"
