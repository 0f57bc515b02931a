"""Cover art for products without a picture: the same product always gets the same one."""

import hashlib
import re
from html import escape

WIDTH, HEIGHT = 240, 180
NOT_A_WORD = re.compile(r"[^\w]+")


def cover_svg(product_id: str, title: str, category: str | None) -> str:
    """The category gives the colour, the product the shapes and the letters.

    The letters stand in the middle, so that the picture may be cut to a square.
    """
    levels = [*(category or "").lower().split(">"), ""]
    hue = digest(levels[0].strip())[0] * 360 // 256 + digest(levels[1].strip())[0] % 100 - 50
    shape = digest(product_id)
    near, far = (hue + shape[0] % 16) % 360, (hue + 30 + shape[1] % 16) % 360
    shapes = "".join(circle(shape[2 + 3 * n : 5 + 3 * n], n) for n in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(title)}</title>"
        '<defs><linearGradient id="g" x2="1" y2="1">'
        f'<stop stop-color="hsl({near} 42% 48%)"/>'
        f'<stop offset="1" stop-color="hsl({far} 48% 34%)"/></linearGradient></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#g)"/>{shapes}'
        f'<text x="{WIDTH // 2}" y="{HEIGHT // 2}" dy=".35em" text-anchor="middle" fill="#fff" '
        'font-family="system-ui, sans-serif" font-weight="700" font-size="64" '
        f'letter-spacing="-2">{escape(initials(title))}</text>'
        "</svg>"
    )


def circle(seed: bytes, number: int) -> str:
    """Alternating discs and rings."""
    x, y, radius = seed[0] * WIDTH // 256, seed[1] * HEIGHT // 256, 24 + seed[2] * 70 // 256
    look = 'fill="none" stroke="#fff" stroke-width="9"' if number % 2 else 'fill="#fff"'
    return f'<circle cx="{x}" cy="{y}" r="{radius}" {look} opacity="0.{10 + 3 * number}"/>'


def initials(title: str) -> str:
    """Of the first two words: `Soft Drinks 12oz` is `SD`."""
    words = [word for word in NOT_A_WORD.split(title) if word]
    return "".join(word[0] for word in words[:2]).upper() or "?"


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
