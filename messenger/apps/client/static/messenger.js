/**
 * The client of a messenger server: state that stays true, sends that are stored once. For browsers and Node 20.
 *
 * It begins with `GET /v1/sync`, follows the events by a socket, or by long-poll where sockets do not come through, and
 * goes on from its cursor after every loss. The protocol: docs/protocol.md.
 */

/**
 * What is said of a refusal (RFC 9457).
 * @typedef {{code: string, status: number, title?: string, detail?: string, errors?: Flaw[],
 *   retry_after?: number}} Refusal
 * @typedef {{pointer: string, detail: string}} Flaw
 *
 * @typedef {{user_id: string, user_name: string, email: string | null, display_name: string, about: string,
 *   created_at: string, deleted: boolean}} User
 * @typedef {{emoji: string, user_ids: string[]}} Reaction
 * @typedef {{message_id: string, id: string, chat_id: string, seq: number, sender_id: string, sender_name: string,
 *   text: string, sent_at: string, edited_at: string | null, deleted: boolean, reply_to: string | null,
 *   reactions: Reaction[], is_read: boolean, client_id?: string | null}} Message
 *   Its `client_id` is told to the sender only.
 * @typedef {Pick<Message, "message_id" | "seq" | "sender_id" | "sender_name" | "text" | "sent_at" | "deleted">}
 *   LastMessage
 * @typedef {"owner" | "admin" | "member"} Role
 * @typedef {{chat_id: string, kind: "chat" | "group" | "direct", name: string, join: "open" | "invite",
 *   creator_id: string | null, created_at: string, member_count: number, head_seq: number, role: Role,
 *   last_message: LastMessage | null, read_seq: number, read_by_all_seq: number, unread: number,
 *   muted_until: string | null, peer_id?: string}} Chat A chat as I see it; `peer_id` is in direct chats only.
 * @typedef {Pick<Chat, "chat_id" | "kind" | "join" | "creator_id" | "created_at" | "member_count" | "head_seq">
 *   & {name: string | null}} KnownChat A chat as it is for everybody in it; a direct chat has no such name.
 * @typedef {{user_id: string, user_name: string, role: Role | null}} Person Without a role they are not in the chat.
 * @typedef {{user: User, chats: Map<string, Chat>, cursor: string}} State
 *
 * As asyncapi.yml has them. Events that are kept have a cursor; my own sends come without one, as `own`.
 * @typedef {{cursor?: string, log?: number, chat_id?: string} & (
 *   {type: "new_message", chat_id: string, message: Message, own?: true} |
 *   {type: "message_edited" | "message_deleted", chat_id: string, actor_id: string, message: Message} |
 *   {type: "reaction", chat_id: string, message_id: string, user_id: string, emoji: string,
 *     action: "added" | "removed", reactions: Reaction[]} |
 *   {type: "message_read", chat_id: string,
 *     reads: {user_id: string, to_seq: number, from_seq?: number, message_id?: string}[], own?: true} |
 *   {type: "message_read_by_all", chat_id: string, from_seq: number, to_seq: number, message_id: string} |
 *   {type: "member_added" | "member_removed", chat_id: string, user_id: string, actor_id: string | null,
 *     member: Person, member_count: number} |
 *   {type: "member_changed", chat_id: string, user_id: string, actor_id: string | null, member: Person} |
 *   {type: "chat_created" | "chat_changed", chat_id: string, chat: KnownChat} |
 *   {type: "chat_deleted", chat_id: string, actor_id: string | null} |
 *   {type: "chat_muted", chat_id: string, muted_until: string | null} |
 *   {type: "user_changed", user: User} |
 *   {type: "search_progress" | "search_finished", task_id: string, status: "IN_PROCESS" | "SUCCESS" | "FAILED",
 *     progress: number} |
 *   {type: "session_revoked", session_id: string} |
 *   {type: "limited", chat_id: string, from_seq: number, to_seq: number} |
 *   {type: "typing", chat_id: string, user_id: string} |
 *   {type: "presence", chat_id: string, user_id: string, status: "online" | "away" | "offline"}
 * )} Event
 *
 * How the line is.
 * @typedef {{type: "resumed"} | {type: "resync"}} Turn
 * @typedef {{type: "hello"} | {type: "pong"} | {type: "ready", resumed: boolean} | Turn} Sign
 * @typedef {{type: "ack", ref: string, result: any} | {type: "error", ref?: string, error: Refusal}} Answer
 *
 * @typedef {"connecting" | "updating" | "online" | "offline" | "ended"} Phase
 * @typedef {{phase: Phase, retryAt: number | null, reason: Problem | number | null}} Status
 *   `retryAt`: milliseconds since the epoch; `reason`: a refusal, or the code that a socket was closed with.
 * @typedef {{code: number, reason: string}} Ending Why a socket is closed.
 * @typedef {{resolve: (result: any) => void, reject: (error: Error) => void,
 *   timer: ReturnType<typeof setTimeout>}} Asked
 */

/** The server said no: nothing was done, unless `status` is 500 or more: then it is unknown. */
export class Problem extends Error {
  /**
   * @param {Refusal} refusal
   * @param {number | null} [retryAfter] seconds
   */
  constructor(refusal, retryAfter = refusal.retry_after ?? null) {
    super(refusal.detail ?? refusal.title ?? refusal.code);
    this.name = "Problem";
    this.code = refusal.code;
    this.status = refusal.status;
    this.detail = this.message;
    this.errors = refusal.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

/** No answer came: whether it was done is unknown. */
export class Unreachable extends Error {
  name = "Unreachable";
}

/**
 * Changes the state as a later `GET /v1/sync` would show it. Chats are replaced, never changed in place.
 * @param {State} state
 * @param {Event} event
 * @returns {{load: string} | null} the chat that must be read anew: its event does not say all that it is for me
 */
export function apply(state, event) {
  const { chat_id = "" } = event;
  const me = state.user.user_id;
  switch (event.type) {
    case "user_changed":
      state.user = event.user;
      return null;
    case "limited":
      return { load: chat_id };
    case "chat_deleted":
      state.chats.delete(chat_id);
      return null;
    case "member_added":
      if (event.user_id === me) return { load: chat_id };
      break;
    case "member_removed":
      if (event.user_id === me) state.chats.delete(chat_id);
  }
  const chat = state.chats.get(chat_id);
  const changes = chat && changesOf(chat, event, me);
  if (changes) {
    const changed = { ...chat, ...changes };
    changed.unread = Math.max(0, changed.head_seq - changed.read_seq);
    state.chats.set(chat_id, changed);
  }
  return null;
}

/** @param {Chat} chat @param {Event} event @param {string} me @returns {Partial<Chat> | null} */
function changesOf(chat, event, me) {
  const last = chat.last_message;
  switch (event.type) {
    case "new_message": {
      const { message } = event; // an ack of mine may be ahead of the events: nothing goes back
      return {
        head_seq: Math.max(chat.head_seq, message.seq),
        read_seq: message.sender_id === me ? Math.max(chat.read_seq, message.seq) : chat.read_seq,
        last_message: message.seq > (last?.seq ?? 0) ? asLast(message) : last,
      };
    }
    case "message_edited":
    case "message_deleted":
      return event.message.message_id === last?.message_id ? { last_message: asLast(event.message) } : null;
    case "message_read": {
      const mine = event.reads.find((one) => one.user_id === me);
      return mine ? { read_seq: Math.max(chat.read_seq, mine.to_seq) } : null;
    }
    case "message_read_by_all":
      return { read_by_all_seq: Math.max(chat.read_by_all_seq, event.to_seq) };
    case "chat_created":
    case "chat_changed":
      return {
        ...event.chat,
        name: event.chat.name ?? chat.name,
        head_seq: Math.max(chat.head_seq, event.chat.head_seq),
      };
    case "chat_muted":
      return { muted_until: event.muted_until };
    case "member_added":
    case "member_changed":
    case "member_removed":
      return {
        member_count: "member_count" in event ? event.member_count : chat.member_count,
        role: (event.user_id === me && event.member.role) || chat.role,
        name: event.user_id === chat.peer_id ? event.member.user_name : chat.name,
        last_message: last?.sender_id === event.user_id ? { ...last, sender_name: event.member.user_name } : last,
      };
    default:
      return null;
  }
}

/** @param {Message} message @returns {LastMessage} */
function asLast({ message_id, seq, sender_id, sender_name, text, sent_at, deleted }) {
  return { message_id, seq, sender_id, sender_name, text, sent_at, deleted };
}

/** Milliseconds, and for a poll seconds. */
const PACE = {
  quiet: 25_000, // without a frame: then the line is asked whether it lives
  patience: 8_000, // for the answer to that
  opening: 10_000, // for what the line waits for: a ticket, `ready`, a chat that must be loaded
  doubt: 5_000, // without an answer to a frame: then too
  answer: 30_000, // without an answer to a request or a frame: it is not waited for any longer
  shortestPause: 500, // between tries; the first one is made at once
  longestPause: 30_000,
  steady: 10_000, // a line that held for so long makes the next first try the first one
  poll: 25,
  socketAgain: 60_000, // so long by long-poll before a socket is tried again
  typing: 3_000, // between two frames about a chat
};

const HEARTBEAT_LOST = 4000;
const DRAINING = 4004;
const SESSION_ENDED = 4502;
const CLOSED_WITHOUT_CODE = 1006;

/**
 * How the verbs of the socket are said over HTTP: method, path, body.
 * @type {Record<string, (frame: any) => [string, string, unknown?]>}
 */
const OVER_HTTP = {
  new_message: ({ chat_id, ...message }) => ["POST", `v1/chats/${chat_id}/messages`, message],
  edit_message: ({ chat_id, message_id, text }) => ["PATCH", `v1/chats/${chat_id}/messages/${message_id}`, { text }],
  delete_message: ({ chat_id, message_id }) => ["DELETE", `v1/chats/${chat_id}/messages/${message_id}`],
  react: (frame) => ["PUT", reactionPath(frame)],
  unreact: (frame) => ["DELETE", reactionPath(frame)],
  read_message: ({ chat_id, id }) => ["POST", `v1/chats/${chat_id}/read`, { message_id: id }],
};

/** @param {{chat_id: string, message_id: string, emoji: string}} frame */
function reactionPath({ chat_id, message_id, emoji }) {
  return `v1/chats/${chat_id}/messages/${message_id}/reactions/${encodeURIComponent(emoji)}`;
}

export class Messenger {
  /** Before `start` null, or what was kept since; then as `GET /v1/sync` would show it. @type {State | null} */
  state = null;
  /** After each sync, the first too: what was loaded beside the state may be out of date. @param {State} state */
  onsync = (state) => {};
  /** After an event was applied; also typing, presence, searches. @param {Event} event @param {State} state */
  onevent = (event, state) => {};
  /** @param {Status} status */
  onstatus = (status) => {};
  /** @type {Status} */
  status = { phase: "offline", retryAt: null, reason: null };

  #fetch;
  #WebSocket;
  #pace;
  /** Ends with `stop`, and another begins: nothing of one is done in the next, which may be another person's. */
  #life = new AbortController();
  /** @type {Promise<void> | null} null: it does not follow */
  #started = null;
  /** @type {Line | null} while it can be spoken to */
  #line = null;
  /** Aborted when there is a line again: a send that hangs on a dead connection is better said there. */
  #lineless = new AbortController();
  #mustSync = true;
  #refusedSockets = 0; // in a row, though HTTP worked
  #onlineSince = Infinity;
  /** What is applied comes one after the other, also when a chat must be loaded first. */
  #turn = Promise.resolve();
  /** @type {Map<string, Promise<unknown>>} the last send of each chat */
  #outbox = new Map();
  /** @type {Set<() => void>} */
  #sleepers = new Set();
  /** @type {Map<string, number>} */
  #typedAt = new Map();
  /** @type {string | null} */
  #presence = null;

  /**
   * @param {object} options
   * @param {string | URL} options.url the server's root
   * @param {string | null} [options.session] a session_id, sent in the header; "": the one that `login` will bring;
   *   null: the cookie speaks, as in a browser
   * @param {typeof globalThis.fetch} [options.fetch]
   * @param {typeof globalThis.WebSocket} [options.WebSocket]
   * @param {boolean} [options.socket] false: long-poll only
   * @param {Partial<typeof PACE>} [options.pace]
   */
  constructor({
    url,
    session = "location" in globalThis ? null : "",
    fetch = globalThis.fetch,
    WebSocket = globalThis.WebSocket,
    socket = true,
    pace = {},
  }) {
    this.url = String(url).replace(/\/*$/, "/");
    this.session = session;
    this.#fetch = /** @type {typeof globalThis.fetch} */ ((...request) => fetch(...request));
    this.#WebSocket = socket ? WebSocket : undefined;
    this.#pace = { ...PACE, ...pace };
  }

  /**
   * One request, without a retry.
   * @param {string} method
   * @param {string} path relative to the root: "v1/users/me"
   * @param {unknown} [body]
   * @param {{key?: string, signal?: AbortSignal, timeout?: number}} [options] `key`: an idempotency key
   * @returns {Promise<any>} the answer's JSON, or null
   * @throws {Problem | Unreachable}
   */
  async call(method, path, body, { key, signal, timeout = this.#pace.answer } = {}) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (this.session) headers.Authorization = `session_id ${this.session}`;
    if (key) headers["Idempotency-Key"] = key;
    const limit = AbortSignal.timeout(timeout);
    let response, text;
    try {
      response = await this.#fetch(new URL(path, this.url), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: this.session === null ? "same-origin" : "omit",
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      text = await response.text();
      signal?.throwIfAborted();
    } catch (error) {
      signal?.throwIfAborted();
      throw new Unreachable(`${method} ${path}: no answer`, { cause: error });
    }
    const answer = parsed(text);
    if (response.ok && answer !== undefined) return answer;
    if (answer?.code) throw new Problem(answer, Number(response.headers.get("Retry-After")) || null);
    const { status } = response; // of a proxy
    if (status < 300 || status >= 500) throw new Unreachable(`${method} ${path}: HTTP ${status}`);
    throw new Problem({ code: `http-${status}`, status, detail: `HTTP ${status}` });
  }

  /** @param {Record<string, unknown>} account */
  async register(account) {
    return await this.call("POST", "v1/auth/register", account);
  }

  /** @param {Record<string, unknown>} credentials */
  async login(credentials) {
    return this.#keep(await this.call("POST", "v1/auth/login", credentials));
  }

  /** Sign in by a link that an administrator has made. @param {string} token */
  async link(token) {
    return this.#keep(await this.call("POST", "v1/auth/link", { token }));
  }

  /** @param {any} answer */
  #keep(answer) {
    if (this.session !== null) this.session = answer.session_id;
    this.state = null; // it may have been somebody else's
    return answer;
  }

  async logout() {
    const answer = await this.call("POST", "v1/auth/logout");
    this.#end(null);
    return answer;
  }

  /** Resolves after the first sync; then it goes on by itself, until `stop` or the end of the session. */
  start() {
    if (this.#started === null) {
      const { signal } = this.#life;
      this.#mustSync = true;
      this.#watchWindow(signal);
      this.#started = new Promise((resolve, reject) => void this.#run(signal, resolve).catch(reject));
      this.#started.catch(() => {}); // `onstatus` tells of it too
    }
    return this.#started;
  }

  stop() {
    this.#started = null;
    this.#life.abort(new Unreachable("stopped"));
    this.#life = new AbortController();
    this.#renew();
  }

  /** Whatever a send waits for. */
  #renew() {
    this.#lineless.abort(new Unreachable("given up: there is a new line, or none any more"));
    this.#lineless = new AbortController();
    this.#wake();
  }

  /** Ends the waiting before the next try. */
  retryNow() {
    this.#wake();
  }

  // --- saying

  /**
   * Stored once, whatever happens on the way, and after the earlier sends to this chat. Rejects with the Problem when
   * it is refused for good.
   * @param {string} chatId
   * @param {string} text
   * @param {{clientId?: string, replyTo?: string | null}} [options]
   * @returns {Promise<Message>}
   */
  send(chatId, text, { clientId = randomKey(), replyTo } = {}) {
    const frame = { chat_id: chatId, text, client_id: clientId, reply_to: replyTo ?? undefined };
    const { signal } = this.#life;
    const before = this.#outbox.get(chatId) ?? Promise.resolve();
    const sent = before.catch(() => {}).then(() => this.#deliver(frame, signal));
    this.#outbox.set(chatId, sent);
    const forget = () => void (this.#outbox.get(chatId) === sent && this.#outbox.delete(chatId));
    sent.then(forget, forget);
    return sent;
  }

  /** @param {{chat_id: string, client_id: string}} frame @param {AbortSignal} life @returns {Promise<Message>} */
  async #deliver(frame, life) {
    for (let failures = 1; ; failures++) {
      life.throwIfAborted();
      try {
        const message = await this.#ask("new_message", frame, { signal: this.#lineless.signal });
        const { chat_id } = message;
        await this.#inTurn(() => this.#take({ type: "new_message", chat_id, message, own: true }, life));
        return message;
      } catch (error) {
        if (!mayPass(error)) throw error;
        const earliest = Date.now() + 1000 * (retryAfter(error) ?? 0);
        await this.#pause(this.#pauseAfter(failures));
        while (Date.now() < earliest && !life.aborted) await this.#pause(earliest - Date.now());
      }
    }
  }

  /** @param {string} chatId @param {string} messageId @param {string} text @returns {Promise<Message>} */
  edit(chatId, messageId, text) {
    return this.#ask("edit_message", { chat_id: chatId, message_id: messageId, text });
  }

  /** @param {string} chatId @param {string} messageId @returns {Promise<void>} */
  remove(chatId, messageId) {
    return this.#ask("delete_message", { chat_id: chatId, message_id: messageId });
  }

  /** @param {string} chatId @param {string} messageId @param {string} emoji @returns {Promise<void>} */
  react(chatId, messageId, emoji) {
    return this.#ask("react", { chat_id: chatId, message_id: messageId, emoji });
  }

  /** @param {string} chatId @param {string} messageId @param {string} emoji @returns {Promise<void>} */
  unreact(chatId, messageId, emoji) {
    return this.#ask("unreact", { chat_id: chatId, message_id: messageId, emoji });
  }

  /**
   * I have read up to this message.
   * @param {string} chatId
   * @param {string} messageId
   * @returns {Promise<{chat_id: string, message_id: string, read_seq: number}>}
   */
  read(chatId, messageId) {
    return this.#ask("read_message", { chat_id: chatId, id: messageId });
  }

  /** @param {string} chatId */
  typing(chatId) {
    const now = Date.now();
    if (this.#line === null || now - (this.#typedAt.get(chatId) ?? 0) < this.#pace.typing) return;
    this.#typedAt.set(chatId, now);
    this.#line.say("typing", { chat_id: chatId });
  }

  /** Also said again whenever the line is new. @param {"online" | "away" | "offline"} status */
  presence(status) {
    this.#presence = status;
    this.#line?.say("presence", { status });
  }

  /**
   * By the socket when there is one, unless the socket would end over it.
   * @param {string} verb
   * @param {Record<string, unknown>} fields
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<any>}
   */
  async #ask(verb, fields, options) {
    if (this.#line && isFit(fields)) return await this.#line.ask(verb, fields);
    const [method, path, body] = OVER_HTTP[verb](fields);
    return await this.call(method, path, body, options);
  }

  // --- following

  /** @param {AbortSignal} life @param {() => void} synced */
  async #run(life, synced) {
    let failures = 0;
    while (!life.aborted) {
      /** @type {unknown} */
      let reason;
      try {
        this.#tell("connecting");
        if (this.#mustSync) await this.#inTurn(() => this.#sync(life));
        synced();
        reason = await this.#follow(life);
      } catch (error) {
        reason = error;
      }
      if (life.aborted) break;
      if (isEnd(reason)) {
        this.#end(toTell(reason));
        throw reason;
      }
      failures = Date.now() - this.#onlineSince > this.#pace.steady ? 1 : failures + 1;
      this.#onlineSince = Infinity;
      const pause = Math.max(this.#pauseAfter(failures), pauseAsked(reason));
      if (pause > 0) {
        this.#tell("offline", { retryAt: Date.now() + pause, reason: toTell(reason) });
        await this.#pause(pause);
      }
    }
    throw new Unreachable("stopped");
  }

  /** Until the connection is lost. @param {AbortSignal} life @returns {Promise<Ending>} */
  async #follow(life) {
    for (;;) {
      if (this.#WebSocket) {
        const { wasReady, ending } = await this.#listen(this.#WebSocket, life);
        if (wasReady || life.aborted) return ending;
        await this.#poll(0, life); // is it the socket only?
        if (++this.#refusedSockets < 2) return ending;
      }
      const until = this.#WebSocket ? Date.now() + this.#pace.socketAgain : Infinity;
      do {
        await this.#poll(this.status.phase === "online" ? this.#pace.poll : 0, life);
        this.#cameOnline();
      } while (Date.now() < until);
    }
  }

  /** @param {typeof globalThis.WebSocket} WebSocket @param {AbortSignal} life */
  async #listen(WebSocket, life) {
    const address = new URL("v1/ws", this.url);
    address.protocol = address.protocol.replace("http", "ws");
    address.searchParams.set("cursor", this.#now.cursor);
    if (this.session !== null) {
      const options = { signal: life, timeout: this.#pace.opening };
      const { ticket } = await this.call("POST", "v1/auth/ws-ticket", undefined, options);
      address.searchParams.set("ticket", ticket);
    }
    const line = new Line(new WebSocket(address, "messenger.v1"), this.#pace, (frame) => this.#hear(frame, line, life));
    const giveUp = () => line.end(1000);
    life.addEventListener("abort", giveUp);
    const ending = await line.ended;
    life.removeEventListener("abort", giveUp);
    this.#line = null;
    return { wasReady: line.isReady, ending };
  }

  /** @param {Event | Sign} frame @param {Line} line @param {AbortSignal} life */
  #hear(frame, line, life) {
    if (frame.type === "ready") {
      this.#refusedSockets = 0;
      this.#mustSync = !frame.resumed; // false: it cannot read my cursor
      if (this.#mustSync) return line.end(1000);
      this.#line = line;
      if (this.status.phase !== "online") this.#tell("updating");
      if (this.#presence) line.say("presence", { status: this.#presence });
      return this.#renew();
    }
    if (frame.type === "hello" || frame.type === "pong") return;
    this.#inTurn(async () => {
      if (line.isOver) return; // perhaps one could not be applied: the next line brings it and all after it again
      await this.#take(frame, life);
    }).catch((error) => line.end(CLOSED_WITHOUT_CODE, String(error)));
  }

  /** @param {number} wait seconds @param {AbortSignal} life */
  async #poll(wait, life) {
    const query = new URLSearchParams({ after: this.#now.cursor, wait: String(wait) });
    const timeout = 1000 * wait + this.#pace.patience;
    const found = await this.call("GET", `v1/events?${query}`, undefined, { signal: life, timeout });
    await this.#inTurn(async () => {
      for (const event of found.events) await this.#take(event, life);
      const hasSynced = found.events.some((/** @type {Event | Sign} */ one) => one.type === "resync");
      if (!hasSynced) this.#now.cursor = found.cursor;
    });
  }

  /** @param {Event | Turn} event @param {AbortSignal} [life] */
  async #take(event, life = this.#life.signal) {
    if (!this.state || life.aborted) return;
    if (event.type === "resync") return await this.#sync(life).then(() => this.#cameOnline());
    if (event.type === "resumed") return this.#cameOnline();
    const place = event.type === "limited" ? undefined : event.cursor; // its cursor is mine
    if (place && position(place) <= position(this.state.cursor, event.log)) return; // heard already
    const needed = apply(this.state, event);
    if (needed) await this.#load(needed.load, life);
    if (place) this.state.cursor = moved(this.state.cursor, place, event.log);
    this.#report(() => this.onevent(event, this.#now));
  }

  /** @param {AbortSignal} signal */
  async #sync(signal) {
    this.#tell("updating");
    const { user, chats, cursor } = await this.call("GET", "v1/sync", undefined, { signal });
    this.state = { user, chats: new Map(chats.map((/** @type {Chat} */ chat) => [chat.chat_id, chat])), cursor };
    this.#mustSync = false;
    this.#report(() => this.onsync(this.#now));
  }

  /** @param {string} chatId @param {AbortSignal} signal */
  async #load(chatId, signal) {
    const options = { signal, timeout: this.#pace.opening }; // all events wait for it
    try {
      this.#now.chats.set(chatId, await this.call("GET", `v1/chats/${chatId}`, undefined, options));
    } catch (error) {
      if (!(error instanceof Problem && error.status === 404)) throw error;
      this.#now.chats.delete(chatId); // I am out again
    }
  }

  get #now() {
    if (this.state === null) throw new Error("There is no state before start().");
    return this.state;
  }

  /** @param {() => Promise<void>} work */
  #inTurn(work) {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #cameOnline() {
    if (this.status.phase === "online") return;
    this.#onlineSince = Date.now();
    this.#tell("online");
    this.#wake();
  }

  /** @param {Problem | number | null} reason */
  #end(reason) {
    this.stop();
    this.#tell("ended", { reason });
  }

  /** @param {Phase} phase @param {Partial<Status>} [more] */
  #tell(phase, more) {
    if (phase === this.status.phase && !more) return;
    this.status = { phase, retryAt: null, reason: null, ...more };
    this.#report(() => this.onstatus(this.status));
  }

  /** What a listener throws is its own affair. @param {() => void} listener */
  #report(listener) {
    try {
      listener();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /** @param {AbortSignal} signal */
  #watchWindow(signal) {
    const { document } = globalThis;
    if (!document) return;
    const look = () => {
      this.#line?.ping(); // it may have died while the machine slept
      this.retryNow();
    };
    globalThis.addEventListener("online", look, { signal });
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look(), { signal });
  }

  // --- waiting

  /** The first retry at once, later ones by chance, so that clients do not come together. @param {number} failures */
  #pauseAfter(failures) {
    const { shortestPause, longestPause } = this.#pace;
    return failures < 2 ? 0 : Math.random() * Math.min(longestPause, shortestPause * 2 ** (failures - 2));
  }

  /** @param {number} ms @returns {Promise<void>} */
  #pause(ms) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#sleepers.add(wake);
    });
  }

  #wake() {
    for (const wake of this.#sleepers) wake();
  }
}

/** One socket until its end. Where no frame comes it asks; when that is not answered, it has ended. */
class Line {
  isReady = false;
  isOver = false;
  /** @type {Promise<Ending>} */
  ended;
  /** @type {(ending: Ending) => void} */
  #ended = () => {};
  #socket;
  #pace;
  #isAsking = true;
  #timer;
  #refs = 0;
  /** @type {Map<string, Asked>} */
  #asked = new Map();

  /** @param {WebSocket} socket @param {typeof PACE} pace @param {(frame: Event | Sign) => void} hear */
  constructor(socket, pace, hear) {
    this.ended = new Promise((resolve) => (this.#ended = resolve));
    this.#socket = socket;
    this.#pace = pace;
    this.#timer = setTimeout(() => this.end(CLOSED_WITHOUT_CODE), pace.opening);
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      this.isReady ||= frame.type === "ready";
      if (this.isReady) this.#lives();
      if (frame.type === "ack" || frame.type === "error") this.#settle(frame);
      else hear(frame);
    };
    socket.onerror = () => this.end(CLOSED_WITHOUT_CODE);
    socket.onclose = ({ code, reason }) => this.end(code, reason);
  }

  /** @param {string} verb @param {Record<string, unknown>} [fields] */
  say(verb, fields) {
    if (!this.isOver) this.#socket.send(JSON.stringify({ type: verb, ...fields }));
  }

  /** @param {string} verb @param {Record<string, unknown>} fields @returns {Promise<any>} */
  ask(verb, fields) {
    return new Promise((resolve, reject) => {
      if (this.isOver) return reject(new Unreachable("the socket has ended"));
      const ref = String(++this.#refs);
      const giveUp = () => void (this.#asked.delete(ref) && reject(new Unreachable(`${verb}: no answer`)));
      const timer = setTimeout(() => {
        this.ping();
        one.timer = setTimeout(giveUp, this.#pace.answer - this.#pace.doubt);
      }, this.#pace.doubt);
      const one = { resolve, reject, timer };
      this.#asked.set(ref, one);
      this.say(verb, { ref, ...fields });
    });
  }

  /** @param {Answer} frame */
  #settle(frame) {
    const one = this.#asked.get(frame.ref ?? "");
    if (!one) return; // what has no ref asked for nothing
    clearTimeout(one.timer);
    this.#asked.delete(/** @type {string} */ (frame.ref));
    if (frame.type === "ack") one.resolve(frame.result);
    else one.reject(new Problem(frame.error));
  }

  ping() {
    if (this.#isAsking || this.isOver) return;
    this.#isAsking = true;
    this.say("ping");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end(HEARTBEAT_LOST), this.#pace.patience);
  }

  #lives() {
    this.#isAsking = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.ping(), this.#pace.quiet);
  }

  /** Now, not after a handshake that a dead line does not answer. @param {number} code @param {string} [reason] */
  end(code, reason = "") {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.#timer);
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.onerror = () => {}; // some libraries throw what nobody hears
    this.#socket.close();
    for (const { reject, timer } of this.#asked.values()) {
      clearTimeout(timer);
      reject(new Unreachable(`the socket has ended: ${code} ${reason}`));
    }
    this.#asked.clear();
    this.#ended({ code, reason });
  }
}

// --- cursors: one of each log, separated by commas; positions compare within a log

/** @param {string} cursors @param {number} [log] */
function position(cursors, log = 0) {
  return Number(cursors.split(",")[log]?.split(".")[1] ?? 0);
}

/** @param {string} cursors @param {string} cursor @param {number} [log] */
function moved(cursors, cursor, log = 0) {
  const all = cursors.split(",");
  all[log] = cursor;
  return all.join(",");
}

// --- what an ending or an error means

/** @param {unknown} reason a Problem, an Unreachable, an Ending */
function isEnd(reason) {
  return reason instanceof Problem ? reason.status === 401 : codeOf(reason) === SESSION_ENDED;
}

/** The fate is unknown, or it is too early: once more. @param {unknown} error */
function mayPass(error) {
  if (error instanceof Problem) return error.status >= 500 || error.status === 408 || error.status === 429;
  return error instanceof Unreachable;
}

/** @param {unknown} reason @returns {number | null} */
function retryAfter(reason) {
  return reason instanceof Problem ? reason.retryAfter : null;
}

/** Milliseconds that the server asks to wait. @param {unknown} reason */
function pauseAsked(reason) {
  if (codeOf(reason) === DRAINING) return Number(/** @type {Ending} */ (reason).reason) || 0;
  return 1000 * (retryAfter(reason) ?? 0);
}

/** @param {unknown} reason @returns {Problem | number | null} */
function toTell(reason) {
  return reason instanceof Problem ? reason : codeOf(reason);
}

/** @param {unknown} reason @returns {number | null} */
function codeOf(reason) {
  return reason instanceof Error ? null : /** @type {Ending} */ (reason).code;
}

/**
 * A frame of more than 64 KiB would close the socket, one with a zero or with half a character would not be answered:
 * over HTTP they are refused in words. Of UTF-16 a unit is three bytes at most.
 * @param {Record<string, unknown>} fields
 */
function isFit(fields) {
  const words = JSON.stringify(fields);
  return words.length < 20_000 && !/\\u(0000|d)/.test(words);
}

/** @param {string} text @returns {any} undefined: it is no JSON */
function parsed(text) {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function randomKey() {
  // Not randomUUID: pages that came over plain HTTP have none.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
