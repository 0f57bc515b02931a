"""Readable names out of the till's capitals: FRZN SS PREMIUM ENTREES/DNRS/N -> Frozen Single…"""

import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

TILL_WIDTH = 30
"""The till cut every product type at this many characters, often inside a word."""

SHORTEST_LAST_WORD = 3

SMALL_WORDS = frozenset({"and", "as", "for", "in", "of", "on", "or", "the", "to", "up", "with"})
KEPT_CAPITALS = frozenset({"BBQ", "CD", "DVD", "DXM", "PSE", "SPF", "TV", "HBC", "OJ", "II"})

PHRASES = (
    (r"\bSFT DRNK\b", "SOFT DRINKS"),
    (r"\bSNGL SRV\b|\bSGL SV\b|\bSNGL SERVE\b|(?<=FRZN )SS\b|^SS\b", "SINGLE SERVE"),
    (r"\bMLT-PK\b|\bMULT PK\b", "MULTI-PACK"),
    (r"\bNON-CARB\b|\bNON-CRBNTD\b|\bNON CARB\b", "STILL"),
    (r"\bRTS SOUP\b", "READY-TO-SERVE SOUP"),
    (r"\bIWS\b", "INDIVIDUALLY WRAPPED"),
    (r"\bVAC PAC\b", "VACUUM PACKED"),
    (r"\bSW GDS\b", "SWEET GOODS"),
    (r"\bSEAFOOD-FRE-(?:NON )?(?:RW)?-?", "FRESH SEAFOOD "),
    (r"\bSEAFOOD-FRZ-(?:IQF|RW)?-?", "FROZEN SEAFOOD "),
    (r"-ALL$", ""),
    (r"^YOGURT NOT MULTI-PACKS$", "YOGURT CUPS"),
    (r"^FLUID MILK WHITE ONLY$", "WHITE MILK"),
    (r"^SEMI-SOLID SALAD DRESSING MAY$", "MAYONNAISE AND SALAD DRESSING"),
    (r"\bDRN?KI?NG/MNE?RA?L(?: WAT)?\s*$", "WATER"),
    (r"/VEND MACH\b", ""),
    (r"\bFS/", ""),
    (r"& MW\b", "& MICROWAVE"),
    (r"\bDEPT\b", "DEPARTMENT"),
    (r"\bEXACT WT\b|\bRW\b|\bPREPORTND\b", ""),
    (r"\bAUSTRALIAN/NZ\b", "AUSTRALIAN/NEW ZEALAND"),
    (r"\bBEERALEMALT\b", "BEER/ALE/MALT"),
    (r"\bSAUCESSALSAPICANTEE\b", "SAUCES/SALSA/PICANTE"),
    (r"\bSTK DEODORANTS\b", "STICK DEODORANTS"),
    (r"\b(WOMEN|CHILDREN|MEN|KID) S\b|\b(WOMEN|CHILDREN|MEN|KID)S\b(?! CEREAL)", r"\1\2'S"),
    (r"\bDVD S\b", "DVDS"),
    (r"\bTOMATO: ", "TOMATOES "),
    (r"\b12/18&15PK CAN\b", "12-18 CANS"),
    (r"\b20PK&24PK CAN CARB\b", "20-24 CANS"),
    (r"\b6PK/4PK CAN CARB\b", "4-6 CANS"),
    (r"\b(BTL|BOTTLE) CARB INCL\b|\bBTL CARB\b", "BOTTLE"),
    (r"^CHIX:? ?", "CHICKEN "),
    (r"^SAL:", "SALAD: "),
    (r"^DL SPEC:", "DELI SPECIALTY: "),
    (r"^SV BEV:", "BEVERAGE: "),
    (r"^PREP FD:|^QSR FD:", "PREPARED FOOD: "),
    (r"^FITNESS&DIET - ", "FITNESS AND DIET "),
    (r"-MAGAZINE$", " MAGAZINE"),
)

VAGUE = frozenset(
    {
        "ACTIVITY", "ANGUS", "BETTER FOR YOU", "BLENDS", "BREAST - BONELESS", "BUTTS", "COCKTAILS",
        "CONTINUITY", "COOKED", "DECOR", "DRY", "ECONOMY", "ECONOMY - MEAT", "ENHANCED", "ENTREES",
        "EXTERNAL", "FASTENERS", "FLATS", "FLAVORED/OTHER", "FRESH", "GARDEN PLUS", "INTERNAL",
        "KITS", "LEAN", "LINKS - RAW", "MAINSTREAM", "MAINSTREAM - MEAT", "MARINATED", "MICROWAVE",
        "MISC", "MISCELLANEOUS", "NOVELTIES", "OTHER", "OVEN", "PAILS", "PANTRY", "PATTIES",
        "PREMIUM", "PREMIUM - MEAT", "PRIMAL", "PROMOTIONAL", "QUARTS", "RED", "REGULAR GARDEN",
        "RIBS", "ROLLS - PORK", "SEASONAL", "SMOKED/COOKED", "SPECIALTY", "STICKS/ENROBED",
        "THIN MEATS", "TRADITIONAL", "VALUE", "VARIETY PACK",
    }
)  # fmt: skip
"""Types that say nothing without their category: Premium (Ice Cream), Lean (Beef)."""

DEPARTMENTS = {
    "DRUG GM": "Health and Home",
    "MEAT-PCKGD": "Packaged Meat",
    "SEAFOOD-PCKGD": "Packaged Seafood",
    "CHEF SHOPPE": "Chef Shop",
    "CNTRL/STORE SUP": "Store Supplies",
    "GM MERCH EXP": "General Merchandise",
    "PHOTO & VIDEO": "Photo and Video",
    "TRAVEL & LEISURE": "Travel and Leisure",
}

LARGEST_BAG = 10
"""Pounds or pieces: produce in more than that is the crate it came in, not what is sold."""

UNITS = {"GA": "gal", "L": "L", "ML": "ml", "LT": "L", "LTR": "L", "PK": "pack", "EA": "each"}


class TillName(NamedTuple):
    """As the till printed it."""

    department: str
    category: str | None
    type: str | None


@functools.cache
def abbreviations() -> dict[str, str]:
    lines = Path(__file__).with_name("demo_abbreviations.txt").read_text().splitlines()
    pairs = (line.split(": ") for line in lines)
    return {short: word for word, shorts in pairs for short in shorts.split()}


def whole_words(types: Iterable[str]) -> frozenset[str]:
    """Words of the types that the till had room to print in full."""
    return frozenset(word for name in types if len(name) < TILL_WIDTH for word in words_of(name))


def words_of(name: str) -> list[str]:
    return re.findall(r"[A-Z0-9']+", name)


def uncut(name: str, known: frozenset[str]) -> str:
    """Without a last word that the till cut off, and without remarks in brackets."""
    words = words_of(name)
    is_cut = words and (words[-1] not in known or len(words[-1]) < SHORTEST_LAST_WORD)
    if len(name) >= TILL_WIDTH and is_cut:
        name = name[: name.rindex(words[-1])]
    return re.sub(r"\([^)]*\)?", " ", name)


def readable(name: str) -> str:
    """Title case with abbreviations written out; safe for text that is readable already."""
    text = name.upper()
    for pattern, replacement in PHRASES:
        text = re.sub(pattern, replacement, text)
    text = re.sub(r"[A-Z.]+", lambda match: abbreviations().get(match[0], match[0]), text)
    text = re.sub(r"\bW/(?=[A-Z])", "WITH ", text.replace("&", " AND "))
    text = re.sub(r"\s*(?::|\s-\s|- )\s*", ", ", text)
    text = re.sub(r"\s*/\s*", "/", text)
    text = re.sub(r"[\s,/:;-]+$|^[\s,/:;-]+", "", re.sub(r"\s+", " ", text))
    text = re.sub(r"\s+,", ",", re.sub(r" AND$| WITH$| OR$", "", text))
    cased = re.sub(r"[A-Z0-9']+", lambda match: cased_word(match[0]), text)
    return cased[:1].upper() + cased[1:]


def cased_word(word: str) -> str:
    if word in KEPT_CAPITALS:
        return word
    if word.lower() in SMALL_WORDS:
        return word.lower()
    return word.lower() if word[0].isdigit() else word[0] + word[1:].lower()


def type_name(name: TillName, known: frozenset[str]) -> str:
    kind, category = uncut(name.type or "", known), readable(name.category or "")
    if kind.strip() in VAGUE and category:
        return f"{category}, {readable(kind)}"
    return readable(kind) or category or "Groceries"


def category_path(name: TillName, known: frozenset[str]) -> str:
    department = DEPARTMENTS.get(name.department) or readable(name.department)
    levels = [department, readable(name.category or ""), readable(uncut(name.type or "", known))]
    return " > ".join(level for level in levels if level)


def size_name(size: str | None, department: str) -> str | None:
    """`12 PK/12 OZ` -> `12 pack, 12 oz`; None where the till holds no size a shopper would see."""
    found = re.search(r"(?<!\()(?<!\d)(\d{0,3}\.?\d+)(?!\d|\)).*", size or "")
    if not found or (found[1].isdigit() and len(found[1]) > len("9999")):
        return None  # some cells hold an article number
    if department == "PRODUCE" and float(found[1]) > LARGEST_BAG:
        return None
    text = re.sub(r"[A-Z]+", lambda match: UNITS.get(match[0], match[0].lower()), found[0].strip())
    text = re.sub(r"(?<=[a-zA-Z])\s*/\s*(?=\d)", ", ", text)
    return re.sub(r"\s+", " ", re.sub(r"(?<!\d)\.(?=\d)", "0.", text))


def brand_name(brand: str, manufacturer_id: int) -> str:
    return "Private label" if brand == "Private" else f"Manufacturer {manufacturer_id}"
