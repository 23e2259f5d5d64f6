"""A cast by SQL: hundreds of people with sessions, and their chats.

Registering costs an argon2 hash each, on purpose, and is not what is measured here: all share the hash of one who came
by the real door. Sessions are rows as the server writes them (a SHA-256 of the token). The measured part, opening
sockets included, goes through the real doors only.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from proof.lab.cluster import Cluster
from proof.lab.crowd import new_name, sign_up
from proof.lab.processes import Process

SESSIONS = """
    insert into sessions (user_id, token_hash, expires_at)
    select person, digest, now() + interval '1 day' from unnest($1::bigint[], $2::bytea[]) as x(person, digest)
"""
PEOPLE = """
    insert into users (name, name_key, password_hash)
    select $1 || '-' || i, $1 || '-' || i, (select password_hash from users where id = $2) from generate_series(1, $3) i
    returning id
"""
CHATS = "insert into chats (kind, name, creator_id) select $1, $2, x from unnest($3::bigint[]) x returning id"
DIRECT_CHATS = """
    insert into direct_chats (low, high, chat_id) select * from unnest($1::bigint[], $2::bigint[], $3::bigint[])
"""
MEMBERS = "insert into members (chat_id, user_id) select * from unnest($1::bigint[], $2::bigint[])"
# As the server would count it: everybody stands at the beginning of the chat.
FLOORS = "select log_refloor(id) from unnest($1::bigint[]) id"
# Positions are taken as the server takes them; the head of the chat follows.
PAST = """
    with taken as materialized (select last, stamp from log_take($2)),
    said as (
        insert into messages (chat_id, seq, id, sender_id, key, body_hash, text, sent_at)
        select $1, i, last - $2 + i, ($3::bigint[])[1 + i % cardinality($3::bigint[])], 'i:past' || i, i,
               'what was said as number ' || i || ' ' || repeat('y', 70), stamp
          from taken, generate_series(1, $2) i)
    update chats set head_seq = $2, head_id = last from taken where id = $1
"""


@dataclass(frozen=True)
class Person:
    user_id: int
    token: str


async def invite(cluster: Cluster, process: Process, number: int) -> list[Person]:
    [first] = await sign_up(process, [new_name("founder")])
    async with cluster.connected() as connection:
        rows = await connection.fetch(PEOPLE, new_name("person"), int(first.user_id), number)
        people = [Person(row["id"], secrets.token_hex(16)) for row in rows]
        digests = [hashlib.sha256(one.token.encode()).digest() for one in people]
        await connection.execute(SESSIONS, [one.user_id for one in people], digests)
        await connection.execute("analyze users, sessions")
    return people


async def pair_up(cluster: Cluster, people: Sequence[Person]) -> list[int]:
    """Direct chats of the first with the second, the third with the fourth, and so on."""
    pairs = list(zip(people[::2], people[1::2], strict=True))
    async with cluster.connected() as connection:
        rows = await connection.fetch(CHATS, "direct", None, [one.user_id for one, _ in pairs])
        chats = [int(row["id"]) for row in rows]
        sides = [sorted((one.user_id, other.user_id)) for one, other in pairs]
        await connection.execute(DIRECT_CHATS, [low for low, _ in sides], [high for _, high in sides], chats)
        both = [(chat, one.user_id) for chat, pair in zip(chats, pairs, strict=True) for one in pair]
        await _join(connection, both)
    return chats


async def gather(cluster: Cluster, people: Sequence[Person], name: str) -> int:
    """One group with all of them."""
    async with cluster.connected() as connection:
        chat = int(await connection.fetchval(CHATS, "group", name, [people[0].user_id]))
        await _join(connection, [(chat, one.user_id) for one in people])
    return chat


async def reminisce(cluster: Cluster, chat_id: int, people: Sequence[Person], number: int) -> None:
    """So many messages said in this new chat before."""
    async with cluster.connected() as connection:
        await connection.execute(PAST, chat_id, number, [one.user_id for one in people])
        await connection.execute("vacuum analyze messages")


async def _join(connection: asyncpg.Connection, members: Sequence[tuple[int, int]]) -> None:
    await connection.execute(MEMBERS, [chat for chat, _ in members], [person for _, person in members])
    await connection.execute(FLOORS, list(dict.fromkeys(chat for chat, _ in members)))
    await connection.execute("analyze chats, members")
