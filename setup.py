"""One thing that pyproject.toml cannot say: conf/ lies beside the package and ships inside it."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["pokora_anime*"]), "pokora_anime.conf"],
    package_dir={"pokora_anime.conf": "conf"},
)
