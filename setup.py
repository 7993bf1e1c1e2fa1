"""The packages of the wheel: `actors` as it is, and the folder `tools` as `tritile_tools`.

A top-level package called `tools` would collide with others' packages. Everything else is in
pyproject.toml, where a package cannot be found under one name and installed under another.
"""

from setuptools import find_packages, setup

TOOLS = find_packages(include=["tools", "tools.*"], exclude=["tools.board", "tools.board.*"])

setup(
    packages=[
        *find_packages(include=["actors", "actors.*"]),
        *(f"tritile_{name}" for name in TOOLS),
    ],
    package_dir={"tritile_tools": "tools"},
)
