"""Pictures that strangers made, turned into small WebP files of ours. Plain functions, for a process pool."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

# The only decoders that a stranger's file may reach.
FORMATS = ("PNG", "JPEG", "WEBP")
# 6000 × 6000, more than any cover; decoded it takes 144 MB. A bomb of a few kB claims billions of pixels.
MAX_PIXELS = 36_000_000
# Above 80 a cover of 1024 pixels grows by half without a visible difference.
QUALITY = 80


class NotAnImage(Exception):
    """The file is no picture that the product can keep. The text is a sentence for the log and the user."""


def to_webp(source: Path, target: Path, size: int) -> tuple[int, int]:
    """Write `source` (PNG, JPEG, WebP) as WebP, at most `size` pixels a side; returns width and height.

    Only pixels pass: place, camera and owner (EXIF, XMP) and further frames stay behind; the stored rotation
    is applied first. Raises `NotAnImage` for anything else, damaged or too large.
    """
    try:
        with Image.open(source, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise NotAnImage(f"The picture has {width} × {height} pixels, more than {MAX_PIXELS:,}.")
            image.draft("RGB", (size, size))  # lets a large JPEG be decoded at a fraction of its size
            upright = ImageOps.exif_transpose(image)
            picture = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAnImage("The file is not a PNG, JPEG or WebP picture.") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise NotAnImage("The picture is cut short or damaged.") from error
    picture.thumbnail((size, size))
    clean = Image.new(picture.mode, picture.size)
    clean.paste(picture)
    clean.save(target, "WEBP", quality=QUALITY)
    return clean.size
