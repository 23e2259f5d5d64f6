/** The first thing that a stranger sees: sign in, or make an account. What is wrong is said beside the field. */

import { html, useState } from "../vendor/preact.js";
import { account } from "../model/account.js";
import { LANGUAGES, language, say } from "../words.js";
import { useObserved } from "../observed.js";
import { Field, sentence, useFocus } from "./parts.js";

const NAME_MIN = 2;

export function SignIn() {
  useObserved(account, language);
  const { has_accounts: hasAccounts, password_min_length: least } = account.server;
  const [chosen, choose] = useState(null);
  const isNew = chosen ?? !hasAccounts;
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [errors, setErrors] = useState({});
  const [isBusy, setBusy] = useState(false);
  const [isShown, show] = useState(false);
  const first = useFocus(isNew);

  function check() {
    const found = {};
    if ([...name.trim()].length < NAME_MIN) found.name = say("signin.nameShort", { count: NAME_MIN });
    const shortest = isNew ? least : 1;
    if ([...password].length < shortest) found.password = say("signin.passwordShort", { count: shortest });
    return found;
  }

  async function submit(event) {
    event.preventDefault();
    const found = check();
    setErrors(found);
    if (Object.keys(found).length) return;
    setBusy(true);
    try {
      await (isNew ? account.register(name.trim(), password) : account.signIn(name.trim(), password));
    } catch (error) {
      setErrors(placed(error));
      setBusy(false);
    }
  }

  /** From signing in to a new account, or back. */
  function change() {
    choose(!isNew);
    setErrors({});
  }
  return html`<main class="signin">
    <form class="card" onSubmit=${submit} noValidate aria-labelledby="signin-title">
      <svg class="logo" viewBox="0 0 48 48" aria-hidden="true">
        <path d="M8 8h32a4 4 0 0 1 4 4v20a4 4 0 0 1-4 4H22l-9 8v-8H8a4 4 0 0 1-4-4V12a4 4 0 0 1 4-4z" />
        <path class="logo-tick" d="M15 22.5 21.5 29 33 16" />
      </svg>
      <h1 id="signin-title">${say(isNew ? "signin.newTitle" : "signin.title")}</h1>
      ${!hasAccounts && html`<p class="lead">${say("signin.nobodyYet")}</p>`}
      ${account.endedBy && html`<p class="lead" role="status">${sentence(account.endedBy)}</p>`}
      <div ref=${(box) => { first.current = box?.querySelector("input") ?? null; }}>
        <${Field} id="name" label=${say(isNew ? "signin.newName" : "signin.name")} value=${name} error=${errors.name}
          autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="255" onValue=${setName} />
      </div>
      <${Field} id="password" label=${say("signin.password")} type=${isShown ? "text" : "password"} value=${password}
        error=${errors.password} hint=${isNew ? say("signin.passwordHint", { count: least }) : null} maxlength="1024"
        autocomplete=${isNew ? "new-password" : "current-password"} onValue=${setPassword} />
      <label class="check">
        <input type="checkbox" checked=${isShown} onChange=${(event) => show(event.target.checked)} />
        <span>${say("signin.showPassword")}</span>
      </label>
      ${errors.all && html`<p class="says error" role="alert">${errors.all}</p>`}
      <button class="button filled wide" disabled=${isBusy}>${say(isNew ? "signin.register" : "signin.enter")}</button>
      <button type="button" class="button link" onClick=${change}>
        ${say(isNew ? "signin.haveAccount" : "signin.needAccount")}
      </button>
      <p class="languages">
        ${Object.entries(LANGUAGES).map(([code, { name: own }]) => html`
          <button type="button" key=${code} lang=${code} class="button link" aria-pressed=${language.code === code}
            onClick=${() => language.choose(code)}>${own}</button>`)}
      </p>
    </form>
  </main>`;
}

/** Each refusal beside the field that it is about. */
function placed(error) {
  if (error.code === "user-already-exists") return { name: sentence(error) };
  if (error.code === "bad-password") return { password: sentence(error) };
  const found = {};
  for (const { pointer, detail } of error.errors ?? []) {
    found[pointer?.includes("password") ? "password" : "name"] = detail;
  }
  return Object.keys(found).length ? found : { all: sentence(error) };
}
