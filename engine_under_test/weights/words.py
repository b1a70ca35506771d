"""Word lists of the corpus, written for this project, and pseudo-words made of syllables."""

# ruff: noqa: SIM905 - word lists read better as text
from __future__ import annotations

from .draw import Draw

FIRST_NAMES = """Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Maria Nora Oscar
Paul Quinn Rosa Sam Tina Uma Victor Wendy Xander Yara Zoe Alice Boris Carmen Dora Elias Fiona
George Hanna Ivan Julia Karl Lena Milo Nina Otto Petra Ralph Sofia Thomas Ursula Vera Walter Ada
Bruno Celia Daniel Eva Frank Gina Hugo Ines Jonas Kira Liam Maya Noah Olga Peter Ruth Simon Theo
Lucy Mark Laura John Sarah Omar Priya Kenji Wei Fatima Diego Amara Ravi Sana Tomas Yusuf
Mei""".split()

LAST_NAMES = """Adams Baker Carter Davis Evans Fischer Garcia Hill Ito Jensen Keller Lopez Moore
Novak Olsen Patel Quist Reed Silva Turner Unger Vogel Walsh Young Ziegler Brown Clark Diaz Ford
Gray Hughes King Lee Martin Nash Owen Price Ross Stone Tanaka Wagner Wood Kim Chen Singh Ali
Rossi Costa Meyer Berg Larsen Murphy Kelly Scott Green Hall Cook Bell Cole Fox Hunt Lane""".split()

CITIES = """Paris London Berlin Madrid Rome Oslo Vienna Prague Lisbon Dublin Athens Warsaw Tokyo
Seoul Delhi Cairo Lima Quito Boston Chicago Denver Seattle Austin Dallas Toronto Sydney Perth
Mumbai Lagos Nairobi Accra Tunis Zurich Geneva Milan Turin Naples Porto Seville Bergen Malmo
Riga Vilnius Tallinn Helsinki Sofia Bucharest Budapest Krakow Munich Hamburg Bremen Lyon Nice
Kyoto Osaka Hanoi Manila Jakarta Dubai Doha Bogota Caracas Havana Miami Portland Houston""".split()

ANIMALS = """fox cat dog bear rabbit owl mouse horse goat duck frog wolf deer crow hen turtle
squirrel hedgehog donkey sparrow otter badger lamb pony goose swan""".split()

THINGS = """lamp key basket drum kite lantern bell book map coin box cup hat ring rope boat
ladder mirror clock candle bottle blanket spoon whistle button chair table wheel feather
stone apple pear cake letter flute scarf""".split()

PLACES = """forest village river mountain valley market harbour garden island castle meadow
bridge mill lake school library tower cave farm field beach hill town station workshop""".split()

ADJECTIVES = """small old quiet brave gentle clever red green blue golden tired happy curious
kind bright silver round warm lonely merry soft strange young proud grey patient careful""".split()

FOODS = """bread soup honey cheese cake apples berries rice tea milk pancakes porridge beans
plums nuts""".split()

ITEMS = """pencils notebooks chairs lamps shirts mugs candles bricks ropes boots gloves plates
towels bags batteries cables keyboards bottles boxes tickets oranges lemons carrots onions
tomatoes eggs books maps stamps clocks screws tiles brushes pillows blankets""".split()

# Frequent words of everyday English, as load generators string them together.
COMMON = """time year people way day man thing woman life child world school state family student
group country problem hand part place case week company system program question work government
number night point home water room mother area money story fact month lot right study book eye job
word business issue side kind head house service friend father power hour game line end member law
car city community name president team minute idea kid body information back parent face others
level office door health person art war history party result change morning reason research girl
guy moment air teacher force education foot boy age policy music market sense nation plan college
interest death experience effect use class control field development role effort rate heart drug
show leader light voice wife police mind price report decision son view relationship town road arm
difference value building action season society tax director position player record paper space
ground form event official matter center couple site project activity star table need court oil
situation cost industry figure street image phone data picture practice piece land product doctor
wall patient worker news test movie north love step nature blood river tree garden window winter
summer stone paper bridge letter sound color island forest mountain ocean horse bird fish bread
milk coffee sugar glass metal wood fire cloud rain snow wind storm sun moon sky field farm village
ship train wheel engine machine tool clock key box bag ring hat coat shoe shirt bed chair kitchen
dinner lunch breakfast fruit apple cake egg salt able about above across after again against almost
alone along already also always among another answer any around ask away bad become before begin
behind believe below best better between big black blue both bring brown build buy call can carry
catch cause certain change clean clear close cold come common complete consider contain continue
cool correct could country cover cross cry cut dark decide deep develop differ direct dog draw
dream drive dry during each early earth east easy eat enough even ever every example fall family
far fast feel few fill final find fine first five fly follow food force four free friend from full
gave general get give go gold good great green grow half happen hard have hear heavy help here high
him hold hope hot hundred hunt inch include just keep kind know large last late laugh lay lead
learn leave left less let light like list listen little live long look low make many map mark may
mean measure might mile miss more most move much must near never new next nothing notice now off
often old once one only open order other our out over own pass pattern perhaps person plain plane
plant play possible pound present press pretty produce pull put quick quiet race reach read ready
real red remember rest rich ride road rock round rule run safe same say scale science sea second
see seem self send sentence serve set settle several shape short should simple since sing sit six
size sleep slow small soft some song soon south special spell stand start state stay still stop
strong such sure surface table take talk teach tell ten than them there these thing think those
though thought thousand three through told too top toward travel true try turn under unit until
usual very visit voice vowel wait walk want warm watch wave weather week weight well went west what
while white whole wide will wish wonder word world would write wrong young""".split()

MONTHS = """January February March April May June July August September October November
December""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

_ONSETS = "b br c ch cl d dr f fl g gl gr h j k kl l m n p pl pr qu r s sh sk sl st t th tr v w z"
_VOWELS = "a e i o u ai ea ee oo ou ia"
_CODAS = "l m n r s t x nd rk st ck sh th ng"


def pseudo_word(draw: Draw, syllables: int | None = None) -> str:
    """A word nobody knows, on this side of the split: it can only be copied, never recalled."""

    def make() -> str:
        n = syllables or draw.number(1, 3)
        onsets, vowels, codas = _ONSETS.split(), _VOWELS.split(), _CODAS.split()
        body = "".join(draw.pick(onsets) + draw.pick(vowels) for _ in range(n))
        return body + (draw.pick(codas) if n == 1 or draw.chance(0.5) else "")

    return draw.until(make, str)


def first_name(draw: Draw) -> str:
    return draw.pick(FIRST_NAMES) if draw.chance(0.6) else pseudo_word(draw, 2).capitalize()


def last_name(draw: Draw) -> str:
    return draw.pick(LAST_NAMES) if draw.chance(0.5) else pseudo_word(draw, 2).capitalize()


def full_name(draw: Draw) -> str:
    return f"{first_name(draw)} {last_name(draw)}"


def city(draw: Draw) -> str:
    return draw.pick(CITIES) if draw.chance(0.6) else pseudo_word(draw, 2).capitalize()


def any_word(draw: Draw) -> str:
    """A value for copying: mostly a common word, else a pseudo-word."""
    return draw.pick(COMMON) if draw.chance(0.6) else pseudo_word(draw)


def phrase(draw: Draw, low: int = 2, high: int = 4) -> str:
    """A few words that make a title, a message or a query."""
    return " ".join(any_word(draw) for _ in range(draw.number(low, high)))
