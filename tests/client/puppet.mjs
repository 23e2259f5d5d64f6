// Plays clients of messenger.js for the tests: a line of JSON in for each thing to do, lines out for what came of it and
// for what was heard meanwhile.
import { createInterface } from "node:readline";

const { Messenger } = await import(process.argv[2]);
const clients = new Map();

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const OWN = {
  make(who, options) {
    const client = new Messenger({
      ...options,
      WebSocket: class extends WebSocket {
        constructor(...address) {
          super(...address);
          client.socket = this;
        }
      },
    });
    client.onsync = () => say({ who, synced: client.state.cursor });
    client.onevent = (event) => say({ who, event });
    client.onstatus = ({ reason, ...status }) => say({ who, status: { ...status, reason: reason?.code ?? reason } });
    clients.set(who, client);
  },
  state: (who) => ({ ...clients.get(who).state, chats: [...clients.get(who).state.chats.values()] }),
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
