"""Figures and pictures, as PNG, or as SVG where that is asked for. Python 3.9."""

from __future__ import annotations

from typing import Any

from hpcurate.savers.base import Facts, Saver, module_of


def _is_figure(value: Any) -> bool:
    figure = module_of("matplotlib.figure")
    return figure is not None and isinstance(value, figure.Figure)


class FigureSaver(Saver):
    """Figures of matplotlib, and pictures of Pillow: what is read back is a picture of Pillow."""

    suffix = ".png"
    libraries = ("pillow",)

    def takes(self, value: Any) -> bool:
        """See `Saver`."""
        pillow = module_of("PIL.Image")
        return _is_figure(value) or (pillow is not None and isinstance(value, pillow.Image))

    def write(self, value: Any, path: str) -> Facts:
        """Without the name and version of who drew it."""
        if _is_figure(value):
            value.savefig(path, format="png", bbox_inches="tight", metadata={"Software": None})
        else:
            value.save(path, format="PNG")
        with open(path, "rb") as file:
            header = file.read(24)
        return {"width": int.from_bytes(header[16:20], "big"), "height": int.from_bytes(header[20:24], "big")}

    def read(self, path: str, facts: Facts) -> Any:
        """In memory."""
        from PIL import Image

        with Image.open(path, formats=["PNG"]) as picture:
            picture.load()
            return picture


class SvgSaver(Saver):
    """Figures of matplotlib as SVG: what is read back is its text."""

    suffix = ".svg"

    def takes(self, value: Any) -> bool:
        """After `FigureSaver`, so only where it is named."""
        return _is_figure(value)

    def write(self, value: Any, path: str) -> Facts:
        """Without the time, and with names of parts that are the same each time."""
        import matplotlib as mpl

        with mpl.rc_context({"svg.hashsalt": "hpcurate"}):
            value.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
        width, height = value.get_size_inches()
        return {"inches": [float(width), float(height)]}

    def read(self, path: str, facts: Facts) -> Any:
        """A text."""
        with open(path, encoding="utf-8") as file:
            return file.read()
