// Plays clients of messenger.js for the tests: a line of JSON in for each thing to do, lines out for what came of it and
// for what was heard meanwhile.
import { createInterface } from "node:readline";

const { apply, Messenger } = await import(process.argv[2]);
const clients = new Map();

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** The next poll goes on from where `forget` sent it. */
function overridden(address, client) {
  if (!client.lost || !address.searchParams.has("after")) return address;
  address.searchParams.set("after", client.lost);
  client.lost = undefined;
  return address;
}

const OWN = {
  make(who, options) {
    const client = new Messenger({
      ...options,
      fetch: (address, request) => fetch(overridden(address, client), request),
      WebSocket: class extends WebSocket {
        constructor(...address) {
          super(...address);
          client.socket = this;
          this.addEventListener("message", ({ data }) => {
            const { type } = JSON.parse(data);
            if (type === "resumed" || type === "pong") say({ who, sign: type });
          });
        }
      },
    });
    client.onsync = () => say({ who, synced: client.state.cursor });
    client.onevent = (event) => say({ who, event });
    client.onstatus = ({ reason, ...status }) => say({ who, status: { ...status, reason: reason?.code ?? reason } });
    clients.set(who, client);
  },
  state: (who) => ({ ...clients.get(who).state, chats: [...clients.get(who).state.chats.values()] }),
  /** As if it had been away since this cursor, and known nothing of this chat. */
  forget(who, cursor = "nowhere.1", chat = "") {
    const client = clients.get(who);
    client.lost = client.state.cursor = cursor;
    client.state.chats.delete(chat);
  },
  /** What the rule alone makes of a state. */
  rule(who, state, events) {
    const chats = new Map(state.chats.map((chat) => [chat.chat_id, chat]));
    const needed = events.map((event) => apply({ ...state, chats }, event));
    return { chats: [...chats.values()], needed };
  },
  cut: (who) => clients.get(who).socket.close(3000),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { number, who, verb, words } = JSON.parse(line);
  const done = async () => await (OWN[verb] ? OWN[verb](who, ...words) : clients.get(who)[verb](...words));
  done().then(
    (result) => say({ number, result: result ?? null }),
    ({ name, message, code, status, errors, retryAfter }) =>
      say({ number, error: { name, message, code, status, errors, retryAfter } }),
  );
}
process.exit(); // what still waits for something
