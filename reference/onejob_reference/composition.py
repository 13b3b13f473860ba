"""What a job makes of its two images: one picture with both side by side, at one height."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_SIXTEEN_TO_EIGHT_BITS = 1 / 257
PLACEHOLDER_SIZE = (640, 240)


class UnreadableImageError(Exception):
    """The bytes are no image we decode; the text says why."""


def side_by_side(first: Path, second: Path, max_pixels: int) -> bytes:
    """Return a PNG with both images beside each other, scaled down to the lower one's height.

    Scaling never enlarges, so the result has at most as many pixels as the input.
    Raises UnreadableImageError, or OSError if a file cannot be opened.
    """
    left, right = (_read(path, max_pixels) for path in (first, second))
    height = min(left.height, right.height)
    left, right = (_scaled(image, height) for image in (left, right))
    canvas = Image.new("RGBA", (left.width + right.width, height))
    canvas.paste(left, (0, 0))
    canvas.paste(right, (left.width, 0))
    return _png(canvas)


def placeholder(reason: str) -> bytes:
    """Return a PNG that says why there is no result: the document knows no failed job."""
    canvas = Image.new("RGB", PLACEHOLDER_SIZE, "#f4f4f4")
    draw = ImageDraw.Draw(canvas)
    draw.text((24, 60), "No result", fill="#a00000", font=ImageFont.load_default(size=36))
    draw.text((24, 130), reason, fill="#303030", font=ImageFont.load_default(size=18))
    return _png(canvas)


def _read(path: Path, max_pixels: int) -> Image.Image:
    with path.open("rb") as file:  # a disk that fails is no broken image
        try:
            with Image.open(file, formats=_FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise UnreadableImageError(f"{path.name} has more than {max_pixels} pixels")
                image.seek(0)
                upright = ImageOps.exif_transpose(image)
                return _eight_bit(upright).convert("RGBA")
        except UnreadableImageError:
            raise
        except Exception as failure:  # decoders raise nearly anything on broken bytes
            raise UnreadableImageError(f"{path.name} is no image this server reads") from failure


def _eight_bit(image: Image.Image) -> Image.Image:
    """Convert 16-bit grey to 8 bits; Pillow would clip it to white."""
    if not image.mode.startswith("I"):
        return image
    return image.convert("I").point(lambda value: value * _SIXTEEN_TO_EIGHT_BITS + 0).convert("L")


def _scaled(image: Image.Image, height: int) -> Image.Image:
    if image.height == height:
        return image
    return image.resize((max(1, round(image.width * height / image.height)), height))


def _png(image: Image.Image) -> bytes:
    target = BytesIO()
    image.save(target, "PNG", compress_level=3)
    return target.getvalue()
