"""No password of a URL reaches a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.errors import ConfigError, masked
from mtl.study.storage import open_storage

SECRET = "hunter22"
URLS = [
    "postgresql://me:hunter22@host/db",
    "postgresql+psycopg://me:hunter22@host:5432/db",
    "postgresql+nothing://me:hunter22@host/db",
    "postgresql://:hunter22@host/db",
    "postgresql://me:a@hunter22@host/db",
    "postgresql://me:hunter22@a@host/db",
    "postgresql://me:%68unter22hunter22@host/db",
    "postgresql:/me:hunter22@host/db",
    "postgresql:me:hunter22@host/db",
    "postgresql:///me:hunter22@host/db",
    "postgresql:////me:hunter22@host/db",
    "postgresql://me:hunter22@host:port/db",
    "postgresql://me:hunter22@[::1/db",
    "postgresql://me:hunter22/x@host/db",
    "postgresql://me:hunter22?x@host/db",
    "postgresql://me:hunter22#x@host/db",
    "postgresql://host/db?password=hunter22",
    "postgresql://host/db?user=me&password=hunter22",
    "postgresql://host/db?sslpassword=hunter22&x=1",
    "postgresql+psycopg://host/db?passwd=hunter22",
    "mysql://me:hunter22@host/db",
    "mysql+pymysql://me:hunter22@host/db?charset=utf8",
    "oracle://me:hunter22@host/db",
    "mssql+pyodbc://me:hunter22@host/db?driver=x",
    "nothing://me:hunter22@host/db",
    "nothing+more://me:hunter22@host/db?token=hunter22",
    "redis://:hunter22@host:6379",
    "http://me:hunter22@host",
    "://me:hunter22@host/db?password=hunter22",
    "me:hunter22@host/db",
    "host=h user=me password=hunter22",
    "host=h password='hunter22 hunter22'",
    "sqlite:///study.db?password=hunter22",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_with_a_password_can_be_printed(url: str) -> None:
    assert SECRET not in masked(url)
    assert SECRET not in masked(f"could not connect to {url}: refused")


@pytest.mark.parametrize("url", URLS)
def test_no_storage_message_has_the_password(url: str, tmp_path: Path) -> None:
    if url.startswith("sqlite"):
        url = url.replace("study.db", f"{tmp_path}/absent/study.db")
    for host in ("host", "h"):
        url = url.replace(f"@{host}/", "@127.0.0.1:9/").replace(f"//{host}/", "//127.0.0.1:9/")
    with pytest.raises(ConfigError) as caught:
        open_storage(url)
    assert SECRET not in str(caught.value)


def test_what_is_no_secret_stays() -> None:
    for text in (
        "postgresql://me@host/db",
        "sqlite:///runs@home/study.db",
        "postgresql://host/db?sslmode=require",
        "write to me@example.org: now",
    ):
        assert masked(text) == text
    assert masked("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert masked("user secret failed", "postgresql://me:secret@host/db") == "user *** failed"
