"""A million messages to search in: two languages, lengths and words as people use them, written by SQL.

The index is filled by the product's own follower, as when servers come back after a long time.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import asyncpg

from messenger.apps.search.store.index import FOLLOWER_LOCK
from proof.bench.load.people import CHATS, MEMBERS, Person
from proof.lab.cluster import Cluster

ALONE = f"select pg_advisory_lock({FOLLOWER_LOCK})"  # the server's own follower steps back while somebody else follows
STEMS = 12_000  # of each language
AT_ONCE = 20_000
FOLLOWED = 5_000
LETTERS = {  # consonants, vowels; the first ones often
    "russian": ("нтсрвлкмдпгзбчжшхцфщ", "оаеиыуяюэ"),
    "english": ("tnsrhldcmfpgbvkwjxz", "eaoiuy"),
}
CLOSED = 0.3  # syllables that end in a consonant
ENDINGS = {
    "russian": ("", "а", "ы", "ов", "ами", "ение", "ения", "ать", "ает", "ный", "ного"),
    "english": ("", "s", "ing", "ed", "er", "tion", "ly"),
}
STORE = """
    with said as (
        select * from unnest($1::bigint[], $2::bigint[], $3::text[]) with ordinality s(chat, seq, text, place)),
    taken as materialized (select last, stamp from log_take((select count(*)::int from said)))
    insert into messages (chat_id, seq, id, sender_id, key, body_hash, text, sent_at)
    select s.chat, s.seq, last - (select count(*) from said) + s.place, $4, 'i:archive' || s.seq, s.seq, s.text, stamp
      from taken, said s
"""
HEADS = """
    update chats c set head_seq = m.seq, head_id = m.id
      from (select chat_id, max(seq) as seq, max(id) as id from messages where chat_id = any($1) group by chat_id) m
     where c.id = m.chat_id
"""


@dataclass
class Archive:
    asker: Person
    chats: Sequence[int]
    said: Counter[str] = field(default_factory=Counter)  # each word, how often in all
    heard: Counter[str] = field(default_factory=Counter)  # in the asker's chats

    def rare(self) -> list[str]:
        """Long enough to be looked for in parts as well, said a handful of times where the asker is."""
        return sorted(word for word, times in self.heard.items() if 3 <= times <= 10 and len(word) >= 8)[:20]

    def common(self) -> list[str]:
        return [word for word, _ in self.heard.most_common(20)]


def words(choice: random.Random) -> list[str]:
    """The commonest first, both languages mixed."""
    found: dict[str, None] = {}
    for language, letters in LETTERS.items():
        for _ in range(STEMS):
            stem = "".join(syllable(choice, *letters) for _ in range(choice.choice((1, 2, 2, 3, 3, 4))))
            for ending in choice.sample(ENDINGS[language], 2):
                found[stem + ending] = None
    mixed = list(found)
    choice.shuffle(mixed)
    return mixed


def syllable(choice: random.Random, consonants: str, vowels: str) -> str:
    """Some letters are frequent and most combinations rare, as in words that people have."""
    first, last = (often(choice, consonants) for _ in range(2))
    return first + often(choice, vowels) + (last if choice.random() < CLOSED else "")


def often(choice: random.Random, letters: str) -> str:
    return choice.choices(letters, weights=[1 / (rank + 3) for rank in range(len(letters))])[0]


def sentences(choice: random.Random, number: int, known: Sequence[str]) -> Iterator[list[str]]:
    """Some words each, mostly few, as Zipf counted them."""
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(known))))
    for _ in range(number):
        length = max(1, min(80, round(choice.lognormvariate(2.0, 0.7))))
        yield choice.choices(known, cum_weights=weights, k=length)


async def fill(
    cluster: Cluster, people: Sequence[Person], number: int, *, chats: int, mine: int, seed: int = 1
) -> Archive:
    """So many messages, spread over the chats; the first person is in some of them, the second in all."""
    choice = random.Random(seed)
    asker, speaker = people[:2]
    async with cluster.connected() as connection:
        rows = await connection.fetch(CHATS, "group", "archive", [speaker.user_id] * chats)
        archive = Archive(asker, [int(row["id"]) for row in rows])
        own = set(choice.sample(archive.chats, mine))
        seats = [(chat, speaker.user_id) for chat in archive.chats] + [(chat, asker.user_id) for chat in sorted(own)]
        await connection.execute(MEMBERS, [chat for chat, _ in seats], [person for _, person in seats])
        await connection.execute(ALONE)
        await _store(connection, archive, own, choice, number, speaker.user_id)
        await connection.execute(HEADS, archive.chats)
        await _index(connection)
        await connection.execute("vacuum analyze")
    return archive


async def _store(
    connection: asyncpg.Connection, archive: Archive, own: set[int], choice: random.Random, number: int, speaker: int
) -> None:
    chats = len(archive.chats)
    lot: list[tuple[int, int, str]] = []
    for place, sentence in enumerate(sentences(choice, number, words(choice))):
        chat = archive.chats[place % chats]
        archive.said.update(sentence)
        if chat in own:
            archive.heard.update(set(sentence))
        lot.append((chat, place // chats + 1, " ".join(sentence)))
        if len(lot) == AT_ONCE or place == number - 1:
            columns = [[one[column] for one in lot] for column in range(3)]
            await connection.execute(STORE, *columns, speaker)
            lot.clear()


async def _index(connection: asyncpg.Connection) -> None:
    while True:
        step = await connection.fetchrow("select upto, head from search_follow($1)", FOLLOWED)
        if step["upto"] is not None and step["upto"] >= step["head"]:
            break
