/** A small choice of emoji, found by words in both languages, with those used last in front. */

import { html, useState } from "../vendor/preact.js";
import { preferences } from "../model/preferences.js";
import { say } from "../words.js";
import { useFocus } from "./parts.js";

const RECENT = 16;

/** Each line: the emoji, and words to find it by. */
const EMOJI = `
👍 yes good like thumb да хорошо лайк
👎 no bad thumb нет плохо
❤️ heart love сердце любовь
🔥 fire огонь
🎉 party congratulations праздник поздравляю
👏 clap bravo аплодисменты браво
🙏 thanks please спасибо пожалуйста
😂 joy tears laugh смех слёзы
🤣 laugh floor смех хохот
😀 grin smile улыбка
😄 happy smile радость улыбка
😁 beam smile улыбка
😅 sweat relief смех пот
😊 blush smile улыбка румянец
🙂 smile slight улыбка
😉 wink подмигивает
😍 love eyes влюблён
🥰 love hearts нежность
😘 kiss поцелуй
😎 cool glasses круто очки
🤩 star wow звёзды восторг
🤔 think hmm думаю
🤨 doubt brow сомнение
😐 neutral нейтрально
😏 smirk ухмылка
🙄 eyes roll закатил глаза
😬 grimace неловко
😌 relief calm спокойствие
😴 sleep сон сплю
😷 ill mask болею маска
🤒 ill fever болею температура
🤯 mind blown взрыв мозга
🥳 party birthday праздник день рождения
😕 confused растерян
😟 worried тревога
😮 wow surprised ого удивление
😳 flushed смущение
🥺 please pleading умоляю
😢 cry sad грусть слеза
😭 cry loud плачу рыдаю
😱 scream fear страх ужас
😡 angry злость
😤 huff злость пар
😈 devil чёрт
💀 skull dead череп
🤖 robot робот
👀 eyes look глаза смотрю
👋 hello wave привет пока
👌 ok хорошо
✌️ victory peace мир победа
🤞 luck fingers удача
🤝 handshake deal договорились
💪 strong muscle сила
🫶 hands heart руки сердце
✅ done check готово галочка
❌ no cross нет крест
❓ question вопрос
❗ important восклицание важно
💯 hundred сто
⭐ star звезда
✨ sparkles блеск
💡 idea light идея лампа
📌 pin скрепка важно
📎 clip attach скрепка
📅 date calendar дата календарь
⏰ time alarm время будильник
⏳ wait time ожидание часы
🚀 rocket start ракета запуск
🐛 bug баг жук
🔧 tool fix инструмент починка
🔒 lock secret замок
🔑 key ключ
💻 computer laptop компьютер
📱 phone телефон
📷 photo camera фото
🎵 music note музыка
🎁 gift present подарок
🎂 cake birthday торт день рождения
🍕 pizza пицца
🍔 burger бургер
🍜 soup noodles суп лапша
🍎 apple яблоко
🍓 strawberry клубника
🍰 cake пирог
☕ coffee tea кофе чай
🍺 beer пиво
🍷 wine вино
🥂 cheers бокалы
🌍 earth world земля мир
☀️ sun солнце
🌙 moon луна
⛅ cloud weather облако погода
🌧️ rain дождь
❄️ snow снег
🌈 rainbow радуга
🌸 flower цветок
🌲 tree лес дерево
🐱 cat кот
🐶 dog собака
🦊 fox лиса
🐻 bear медведь
🐼 panda панда
🐧 penguin пингвин
🦄 unicorn единорог
🚗 car машина
🚲 bike велосипед
✈️ plane самолёт
🏠 home дом
🏖️ beach пляж
⛰️ mountain гора
⚽ football футбол
🏆 cup win кубок победа
🎮 game игра
📚 books книги
💰 money деньги
💔 broken heart разбитое сердце
💤 sleep сон
💬 talk bubble разговор
`.trim().split("\n").map((line) => {
  const [emoji, ...words] = line.split(" ");
  return { emoji, words: words.join(" ") };
});

export function EmojiPicker({ onChoose }) {
  const [query, setQuery] = useState("");
  const field = useFocus();
  const asked = query.trim().toLocaleLowerCase();
  const found = asked ? EMOJI.filter(({ words }) => words.split(" ").some((word) => word.startsWith(asked))) : EMOJI;
  const recent = asked ? [] : preferences.get("emoji", []);
  const choose = (emoji) => {
    preferences.set("emoji", [emoji, ...preferences.get("emoji", []).filter((one) => one !== emoji)].slice(0, RECENT));
    onChoose(emoji);
  };
  const one = ({ emoji, words }) => html`<button type="button" class="emoji" key=${emoji}
    aria-label=${`${emoji} ${words.split(" ")[0]}`} onClick=${() => choose(emoji)}>${emoji}</button>`;
  const known = (emoji) => EMOJI.find((one) => one.emoji === emoji) ?? { emoji, words: "" };
  const press = (event) => event.key === "Enter" && found[0] && choose(found[0].emoji);
  return html`<div class="emoji-picker">
    <input ref=${field} type="search" value=${query}
      placeholder=${say("emoji.search")} aria-label=${say("emoji.search")} autocomplete="off"
      onInput=${(event) => setQuery(event.target.value)} onKeyDown=${press} />
    ${recent.length > 0 && html`
      <h3 class="group-title">${say("emoji.recent")}</h3>
      <div class="emoji-grid">${recent.map((emoji) => one(known(emoji)))}</div>
      <h3 class="group-title">${say("emoji.title")}</h3>`}
    <div class="emoji-grid">${found.map(one)}</div>
    ${!found.length && html`<p class="hint">${say("emoji.nothing")}</p>`}
  </div>`;
}
