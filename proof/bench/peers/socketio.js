// A chat by socket.io and pg. A socket is let in by its token and hears the rooms of its chats; a message is one insert
// of its own, by a member only, acknowledged and told to the room after its commit. A key that comes again is the first
// message again. Where PostgreSQL is, the usual PG variables say.
"use strict";

const { createHash } = require("node:crypto");
const { createServer } = require("node:http");
const { Pool } = require("pg");
const { Server } = require("socket.io");

const WHO = {
  name: "who",
  text: `select p.id, array(select chat_id from members where person_id = p.id) as chats
           from people p where token_hash = $1`,
};
const STORE = {
  name: "store",
  text: `insert into messages (chat_id, sender_id, key, text)
         select $1, $2, $3, $4 where exists (select from members where chat_id = $1 and person_id = $2)
             on conflict (chat_id, sender_id, key) do nothing returning id, sent_at`,
};
const FIND = {
  name: "find",
  text: "select id, sent_at from messages where chat_id = $1 and sender_id = $2 and key = $3",
};
const LONGEST = 4000;

const pool = new Pool({ max: 10 });
const http = createServer((request, response) => {
  response.writeHead(request.url === "/readyz" ? 200 : 404).end();
});
const io = new Server(http, { serveClient: false });
const room = (chat) => `chat ${chat}`;

function isDraft(draft) {
  return (
    typeof draft === "object" && draft !== null && /^\d{1,18}$/.test(draft.chat_id) &&
    typeof draft.client_id === "string" && draft.client_id.length <= 64 &&
    typeof draft.text === "string" && draft.text.length > 0 && draft.text.length <= LONGEST
  );
}

async function stored(sender, { chat_id, client_id, text }) {
  const made = await pool.query({ ...STORE, values: [chat_id, sender, client_id, text] });
  if (made.rows.length) return { ...made.rows[0], isNew: true };
  const found = await pool.query({ ...FIND, values: [chat_id, sender, client_id] });
  return found.rows.length ? { ...found.rows[0], isNew: false } : null;
}

io.use(async (socket, next) => {
  try {
    const token = createHash("sha256").update(String(socket.handshake.auth.token)).digest();
    const { rows } = await pool.query({ ...WHO, values: [token] });
    if (!rows.length) return next(new Error("unauthorized"));
    socket.data = rows[0];
    next();
  } catch (error) {
    console.error(error);
    next(new Error("unavailable"));
  }
});

io.on("connection", (socket) => {
  const { id: sender, chats } = socket.data;
  socket.join(chats.map(room));
  socket.on("new_message", async (draft, ack) => {
    if (!isDraft(draft) || typeof ack !== "function") return socket.emit("refused", { code: "malformed" });
    const { chat_id, client_id, text } = draft;
    try {
      const message = await stored(sender, draft);
      if (message === null) return socket.emit("refused", { code: "not-a-member", client_id });
      const { id, sent_at, isNew } = message;
      ack({ message_id: id, sent_at });
      if (isNew) socket.to(room(chat_id)).emit("new_message", { message_id: id, chat_id, sender_id: sender, text, sent_at });
    } catch (error) {
      console.error(error);
      socket.emit("refused", { code: "unavailable", client_id });
    }
  });
});

http.listen(Number(process.env.PORT), process.env.HOST);
