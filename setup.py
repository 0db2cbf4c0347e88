"""Builds the compiled codec of the contracts; everything else stands in pyproject.toml.

Problem: the codec is written from `avro/`, so its source is no file of the repository. How: before
the extension is built its source is generated into `build/`. It is optional: without Cython or
a compiler the installation goes on, and the contracts use fastavro and say so.
"""

from __future__ import annotations

import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CONTRACTS = Path("streamsync") / "contracts"
SOURCE = Path("build") / "codec" / "compiled.pyx"


class BuildCodec(build_ext):
    """Generates, then builds as ever."""

    def run(self) -> None:
        """Write the source where it changed; an unchanged one need not be compiled again."""
        schemas = runpy.run_path(str(CONTRACTS / "schemas.py"))["load_schemas"]()
        text = runpy.run_path(str(CONTRACTS / "generate.py"))["source"](schemas)
        SOURCE.parent.mkdir(parents=True, exist_ok=True)
        if not SOURCE.exists() or SOURCE.read_text(encoding="utf-8") != text:
            SOURCE.write_text(text, encoding="utf-8")
        super().run()


setup(
    ext_modules=[Extension("streamsync.contracts.compiled", [str(SOURCE)], optional=True)],
    cmdclass={"build_ext": BuildCodec},
)
