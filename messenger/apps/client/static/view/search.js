/**
 * One field finds chats, people and messages. Filters narrow the messages: who said it, where, and when.
 * A hit leads to its message among its neighbours.
 */

import { html } from "../vendor/preact.js";
import { client } from "../model/account.js";
import { chats, isNotes, nameOfChat } from "../model/chats.js";
import { brief } from "../model/dates.js";
import { nameOf, people } from "../model/people.js";
import { place, toChat, toMessage } from "../model/place.js";
import { Observed, useObserved } from "../observed.js";
import { language, say } from "../words.js";
import { Icon } from "./icons.js";
import { attempt, Avatar, Empty, Skeleton, sentence, walkRows } from "./parts.js";
import { Highlighted } from "./text.js";

const PAUSE = 250;
const NO_FILTERS = { chatId: "", sender: null, since: "", until: "" };

export const search = new (class extends Observed {
  isOpen = false;
  query = "";
  filters = NO_FILTERS;
  hasFilters = false;
  hits = [];
  found = [];
  iterator = null;
  isBusy = false;
  isComplete = true;
  failure = null;
  #timer = 0;
  #round = 0;

  open(chatId = null) {
    if (chatId) {
      this.filters = { ...NO_FILTERS, chatId };
      this.hasFilters = true;
    }
    this.isOpen = true;
    this.changed();
  }

  close() {
    clearTimeout(this.#timer);
    this.#round += 1;
    Object.assign(this, {
      isOpen: false, query: "", filters: NO_FILTERS, hasFilters: false,
      hits: [], found: [], failure: null, isBusy: false,
    });
    this.changed();
  }

  ask(query) {
    this.query = query;
    this.#later();
  }

  narrow(change) {
    this.filters = { ...this.filters, ...change };
    this.#later();
  }

  toggleFilters() {
    this.hasFilters = !this.hasFilters;
    if (!this.hasFilters) this.narrow(NO_FILTERS);
    this.changed();
  }

  #later() {
    clearTimeout(this.#timer);
    this.#round += 1;
    this.isOpen = true;
    this.failure = null;
    this.isBusy = this.query.trim() !== "";
    if (!this.isBusy) Object.assign(this, { hits: [], found: [] });
    else this.#timer = setTimeout(() => this.#find(), PAUSE);
    this.changed();
  }

  more() {
    return this.#find(this.iterator);
  }

  async #find(from = null) {
    const round = this.#round;
    const parameters = new URLSearchParams({ q: this.query.trim(), order: "recent", limit: "20" });
    const { chatId, sender, since, until } = this.filters;
    if (chatId) parameters.set("chat_id", chatId);
    if (sender) parameters.set("sender_id", sender.user_id);
    if (since) parameters.set("since", new Date(`${since}T00:00`).toISOString());
    if (until) parameters.set("until", new Date(new Date(`${until}T00:00`).getTime() + 86_400_000).toISOString());
    if (from) parameters.set("from", from);
    this.isBusy = true;
    this.changed();
    try {
      const [page, found] = await Promise.all([
        client.call("GET", `v1/search?${parameters}`),
        from || chatId ? this.found : people.find(this.query.trim(), 5),
      ]);
      if (round !== this.#round) return;
      this.hits = from ? [...this.hits, ...page.hits] : page.hits;
      this.iterator = page.has_more ? page.next.iterator : null;
      this.isComplete = page.complete;
      this.found = found;
    } catch (error) {
      if (round !== this.#round) return;
      this.failure = error;
    }
    this.isBusy = false;
    this.changed();
  }
})();

export function SearchResults() {
  useObserved(search, chats, people, language);
  const { query, hits, found, isBusy, failure, iterator, filters } = search;
  const asked = query.trim().toLocaleLowerCase();
  const named = asked && !filters.chatId
    ? chats.list().filter((chat) => nameOfChat(chat).toLocaleLowerCase().includes(asked))
    : [];
  const isNothing = asked && !isBusy && !failure && !hits.length && !found.length && !named.length;
  return html`<div class="scroll results" onKeyDown=${walkRows}>
    <div class="results-head">
      <button type="button" class="button link" aria-expanded=${search.hasFilters}
          onClick=${() => search.toggleFilters()}>
        <${Icon} name="filter" size=${16} /> ${say("search.filters")}
      </button>
    </div>
    ${search.hasFilters && html`<${Filters} />`}
    ${!asked && html`<p class="hint">${say("search.hint")}</p>`}
    ${named.length > 0 && html`
      <h2 class="group-title">${say("chats.title")}</h2>
      <ul role="list">${named.map((chat) => html`<${ChatHit} key=${chat.chat_id} chat=${chat} />`)}</ul>`}
    ${found.length > 0 && html`
      <h2 class="group-title">${say("search.people")}</h2>
      <ul role="list">${found.map((user) => html`<${PersonHit} key=${user.user_id} user=${user} />`)}</ul>`}
    ${hits.length > 0 && html`
      <h2 class="group-title">${say("search.messages")}</h2>
      <ul role="list">${hits.map((hit) => html`<${Hit} key=${hit.message.message_id} hit=${hit} />`)}</ul>`}
    ${isBusy && html`<${Skeleton} rows=${3} />`}
    ${failure && html`<p class="hint error" role="alert">${sentence(failure)}</p>`}
    ${isNothing && html`<${Empty} icon="search" text=${say("search.nothing")} />`}
    ${!search.isComplete && html`<p class="hint">${say("search.incomplete")}</p>`}
    ${iterator && !isBusy && html`<button type="button" class="button link wide" onClick=${() => search.more()}>
      ${say("search.more")}
    </button>`}
    <p class="unseen" role="status">${asked && !isBusy ? say("search.count", { count: hits.length }) : ""}</p>
  </div>`;
}

function ChatHit({ chat }) {
  const name = nameOfChat(chat);
  return html`<li>
    <a class="row-link slim" href=${toChat(chat.chat_id)} onClick=${() => search.close()}>
      <${Avatar} id=${chat.peer_id ?? chat.chat_id} name=${name} size=${32}
        userId=${isNotes(chat) ? null : (chat.peer_id ?? null)} />
      <span class="cut">${name}</span>
    </a>
  </li>`;
}

function PersonHit({ user }) {
  return html`<li>
    <button type="button" class="row-link slim" onClick=${() => talkTo(user)}>
      <${Avatar} id=${user.user_id} name=${nameOf(user)} size=${32} userId=${user.user_id} />
      <span class="cut">${nameOf(user)}</span>
    </button>
  </li>`;
}

function Hit({ hit: { message, highlights } }) {
  const chat = chats.get(message.chat_id);
  const address = toMessage(message.chat_id, message.message_id);
  const isHere = place.messageId === message.message_id;
  return html`<li>
    <a class="row-link hit" href=${address} aria-current=${isHere ? "true" : undefined}
        onClick=${() => place.go(address)}>
      <span class="cut hit-where">${chat ? nameOfChat(chat) : ""}</span>
      <time datetime=${message.sent_at}>${brief(message.sent_at)}</time>
      <span class="hit-text">
        <span class="chat-row-author">${message.sender_name}:</span>${" "}
        <${Highlighted} text=${message.text} highlights=${highlights} />
      </span>
    </a>
  </li>`;
}

function Filters() {
  const { filters } = search;
  const senders = new Map(search.hits.map(({ message }) => [message.sender_id, message.sender_name]));
  if (filters.sender) senders.set(filters.sender.user_id, filters.sender.name);
  const chooseChat = (event) => search.narrow({ chatId: event.target.value });
  const chooseSender = ({ target: { value: id } }) =>
    search.narrow({ sender: id ? { user_id: id, name: senders.get(id) ?? people.name(id) } : null });
  const chooseSince = (event) => search.narrow({ since: event.target.value });
  const chooseUntil = (event) => search.narrow({ until: event.target.value });
  return html`<fieldset class="filters">
    <legend class="unseen">${say("search.filters")}</legend>
    <label>
      ${say("search.in")}
      <select value=${filters.chatId} onChange=${chooseChat}>
        <option value="">${say("search.anywhere")}</option>
        ${chats.list().map((chat) => html`
          <option key=${chat.chat_id} value=${chat.chat_id} selected=${filters.chatId === chat.chat_id}>
            ${nameOfChat(chat)}
          </option>`)}
      </select>
    </label>
    <label>
      ${say("search.from")}
      <select value=${filters.sender?.user_id ?? ""} onChange=${chooseSender}>
        <option value="">${say("search.anybody")}</option>
        ${[...senders].map(([id, name]) => html`
          <option key=${id} value=${id} selected=${filters.sender?.user_id === id}>${name}</option>`)}
      </select>
    </label>
    <label>${say("search.since")}<input type="date" value=${filters.since} onChange=${chooseSince} /></label>
    <label>${say("search.until")}<input type="date" value=${filters.until} onChange=${chooseUntil} /></label>
  </fieldset>`;
}

async function talkTo(user) {
  const chatId = await attempt(() => chats.open(user.user_id));
  if (!chatId) return;
  search.close();
  place.go(toChat(chatId));
}
