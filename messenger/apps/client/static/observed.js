/** Something that changes, and the views that watch it. */

import { useLayoutEffect, useState } from "./vendor/preact.js";

export class Observed {
  #watchers = new Set();

  /** @param {() => void} tell @returns {() => void} ends the watching */
  watch(tell) {
    this.#watchers.add(tell);
    return () => this.#watchers.delete(tell);
  }

  changed() {
    for (const tell of [...this.#watchers]) tell();
  }
}

/** The component is drawn again whenever one of these changes. @param {...Observed} things */
export function useObserved(...things) {
  const [, draw] = useState(0);
  useLayoutEffect(() => { // an effect after the next frame would miss what changes before it
    const tell = () => draw((count) => count + 1);
    const endings = things.map((thing) => thing.watch(tell));
    return () => endings.forEach((end) => end());
  }, things);
}
