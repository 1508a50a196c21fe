"""Draws the names on the signboards of shops: neuralsim/town/render/shading/shop_names.png.

    python tools/shop_names.py [FOLDER OF DEJAVU'S FONTS]

All are invented, and of trades that every town has. Needs Pillow.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from neuralsim.town.render.shading.lettering_kernels import HEIGHT, PICTURE, WIDTH

FONTS = Path("/usr/share/fonts/truetype/dejavu")
FINE = 8  # names are drawn that many times as large, then reduced
CAPITAL, BASELINE = 20, 26  # texels: height of capitals, and the row that they stand on
SANS, NARROW, LIGHT = "DejaVuSans-Bold", "DejaVuSansCondensed-Bold", "DejaVuSans"
SERIF, BOOK, ITALIC = "DejaVuSerif-Bold", "DejaVuSerif", "DejaVuSerif-BoldItalic"
#: Name, font, and the space between letters as a share of their height.
NAMES = (
    ("BÄCKEREI", SANS, 0.0), ("Apotheke", SERIF, 0.0), ("Café Roma", ITALIC, 0.0), ("BLUMEN", SERIF, 0.2),
    ("OPTIK", SANS, 0.35), ("Schuhe", SANS, 0.0), ("FRISEUR", LIGHT, 0.45), ("Bistro", ITALIC, 0.0),
    ("METZGEREI", NARROW, 0.05), ("Buchladen", BOOK, 0.0), ("REISEN", SANS, 0.1), ("Mode Lenz", BOOK, 0.0),
    ("WEINHAUS", SERIF, 0.1), ("Eiscafé", ITALIC, 0.0), ("JUWELIER", BOOK, 0.3), ("DROGERIE", SANS, 0.0),
    ("KIOSK", NARROW, 0.2), ("Pizzeria", ITALIC, 0.0), ("FAHRRÄDER", NARROW, 0.1), ("Papier & Buch", SERIF, 0.0),
    ("TEELADEN", BOOK, 0.2), ("Möbel Hansen", SANS, 0.0), ("SPIELWAREN", NARROW, 0.1), ("Goldschmied", ITALIC, 0.0),
)  # fmt: skip


def drawn(text: str, font: ImageFont.FreeTypeFont, space: float) -> Image.Image:
    """Return a name's cell, white on black, from its left edge on."""
    large = Image.new("L", (2 * WIDTH * FINE, HEIGHT * FINE))
    pen, x = ImageDraw.Draw(large), float(WIDTH)
    for letter in text:
        pen.text((x, BASELINE * FINE), letter, 255, font, anchor="ls")
        x += font.getlength(letter) + space * CAPITAL * FINE
    left, _, right, _ = large.getbbox() or (0, 0, 0, 0)
    cell = Image.new("L", (WIDTH, HEIGHT))
    wide = min(-(-(right - left) // FINE), WIDTH)
    cell.paste(large.crop((left, 0, right, HEIGHT * FINE)).resize((wide, HEIGHT), Image.Resampling.BOX))
    return cell


def main() -> None:
    """Draw all names, one below the other."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FONTS
    picture = Image.new("L", (WIDTH, HEIGHT * len(NAMES)))
    for number, (text, name, space) in enumerate(NAMES):
        font = ImageFont.truetype(folder / f"{name}.ttf", round(CAPITAL * FINE / 0.729))
        picture.paste(drawn(text, font, space), (0, number * HEIGHT))
    picture.save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
