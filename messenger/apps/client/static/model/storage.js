/** What the browser keeps for us over a reload: letters that wait, and the last known state. */

const DATABASE = "messenger";
const STORES = { outbox: "client_id", shelf: "key" };

/** @type {Promise<IDBDatabase | null> | null} */
let opening = null;

/** Null where the browser keeps nothing for us: then all of it lives as long as the page. */
function database() {
  opening ??= new Promise((resolve) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      for (const [name, keyPath] of Object.entries(STORES)) request.result.createObjectStore(name, { keyPath });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
  });
  return opening;
}

/** @param {"outbox" | "shelf"} name */
export function store(name) {
  /** @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} act @returns {Promise<any>} */
  async function run(mode, act) {
    const opened = await database();
    if (!opened) return undefined;
    return new Promise((resolve) => {
      const transaction = opened.transaction(name, mode, { durability: mode === "readwrite" ? "strict" : "default" });
      const request = act(transaction.objectStore(name));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => resolve(undefined); // no room
    });
  }
  return {
    all: async () => (await run("readonly", (kept) => kept.getAll())) ?? [],
    get: (key) => run("readonly", (kept) => kept.get(key)),
    put: (value) => run("readwrite", (kept) => kept.put(value)),
    delete: (key) => run("readwrite", (kept) => kept.delete(key)),
    clear: () => run("readwrite", (kept) => kept.clear()),
  };
}

const PLACE = "messenger-journal.";

/** What is on its way into the database: a reload does not wait for that. It is small, and there at once. */
export const journal = {
  all() {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(PLACE));
      return keys.map((key) => JSON.parse(localStorage[key]));
    } catch {
      return [];
    }
  },
  put(key, value) {
    try {
      localStorage.setItem(PLACE + key, JSON.stringify(value));
    } catch {
      // full, or forbidden: then only the database keeps it
    }
  },
  delete(key) {
    try {
      localStorage.removeItem(PLACE + key);
    } catch {
      // nothing was put there
    }
  },
};
