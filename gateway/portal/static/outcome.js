// SPDX-License-Identifier: Apache-2.0

// The outcome page asks now and then whether there is something new, and shows
// itself again when there is. Without this script the page's meta refresh does
// the same, more slowly.
"use strict";
(() => {
  const page = document.querySelector("[data-ask]");
  if (!page) return;
  const every = 2000;
  let left = 150; // five minutes; after that people press "Aggiorna"
  const ask = async () => {
    try {
      const answer = await fetch(page.dataset.ask, { credentials: "same-origin", cache: "no-store" });
      if (answer.ok) {
        const state = await answer.json();
        if (state.stamp !== page.dataset.stamp) {
          location.reload();
          return;
        }
        if (state.done) return;
      }
    } catch {
      // The network is away: ask again.
    }
    if (--left > 0) setTimeout(ask, every);
  };
  setTimeout(ask, every);
})();
