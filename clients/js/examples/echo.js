// Says everything back: node echo.js <url> <name> <password>
import { Messenger } from "messenger-client";

const [url, user_name, password] = process.argv.slice(2);
const bot = new Messenger({ url });

bot.onevent = ({ type, chat_id, message }, { user }) => {
  if (type !== "new_message" || message.sender_id === user.user_id) return;
  // The same key for the same question: it is answered once, also when the bot is started again.
  const once = { clientId: `echo of ${message.message_id}`, replyTo: message.message_id };
  bot.send(chat_id, message.text, once).catch(console.error);
};

await bot.login({ user_name, password });
await bot.start();
