create table people (
    id bigint generated always as identity primary key,
    token_hash bytea not null unique
);

create table chats (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now()
);

create table members (
    chat_id bigint not null references chats,
    person_id bigint not null references people,
    primary key (chat_id, person_id)
);
create index members_by_person on members (person_id);

-- No foreign keys: each insert looks up the member, which has them.
create table messages (
    id bigint generated always as identity primary key,
    chat_id bigint not null,
    sender_id bigint not null,
    key text not null,
    text text not null,
    sent_at timestamptz not null default now(),
    unique (chat_id, sender_id, key)
);
create index messages_by_chat on messages (chat_id, id);
