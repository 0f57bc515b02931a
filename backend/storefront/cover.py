"""Cover art for products without a picture: the same product always gets the same one."""

import hashlib
import re
from html import escape

SIZE = 240
NOT_A_WORD = re.compile(r"[^\w]+")


def cover_svg(product_id: str, title: str, category: str | None) -> str:
    """A square picture: the category gives the colour, the product the shapes and the letters."""
    hue = digest(top_of(category))[0] * 360 // 256
    shape = digest(product_id)
    near, far = (hue + shape[0] % 24) % 360, (hue + 34 + shape[1] % 24) % 360
    shapes = "".join(circle(shape[2 + 3 * n : 5 + 3 * n], n) for n in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" role="img">'
        f"<title>{escape(title)}</title>"
        '<defs><linearGradient id="g" x2="1" y2="1">'
        f'<stop stop-color="hsl({near} 52% 46%)"/>'
        f'<stop offset="1" stop-color="hsl({far} 58% 34%)"/></linearGradient></defs>'
        f'<rect width="{SIZE}" height="{SIZE}" fill="url(#g)"/>{shapes}'
        f'<text x="18" y="{SIZE - 24}" fill="#fff" font-family="system-ui, sans-serif" '
        f'font-weight="700" font-size="72" letter-spacing="-3">{escape(initials(title))}</text>'
        "</svg>"
    )


def circle(seed: bytes, number: int) -> str:
    """Alternating rings and discs, somewhere off the letters."""
    x, y, radius = 70 + seed[0] * 170 // 256, seed[1] * 150 // 256, 26 + seed[2] * 60 // 256
    look = 'fill="none" stroke="#fff" stroke-width="10"' if number % 2 else 'fill="#fff"'
    return f'<circle cx="{x}" cy="{y}" r="{radius}" {look} opacity="0.{13 + 4 * number}"/>'


def initials(title: str) -> str:
    """Of the first two words: `Soft Drinks 12oz` is `SD`."""
    words = [word for word in NOT_A_WORD.split(title) if word]
    return "".join(word[0] for word in words[:2]).upper() or "?"


def top_of(category: str | None) -> str:
    return (category or "").split(">")[0].strip().lower()


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
