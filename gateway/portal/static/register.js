// SPDX-License-Identifier: Apache-2.0

// Does some work in the place of the control question: finds a number that, after
// the challenge, has a SHA-256 with enough leading zeros. Until it is found, and
// where the browser cannot, the question stays.
"use strict";
(() => {
  const form = document.querySelector("form[data-work]");
  if (!form || !window.crypto || !crypto.subtle) return;
  const { work, bits } = form.dataset;
  const field = form.elements.lavoro;
  const text = new TextEncoder();
  const zeros = (bytes) => {
    let n = 0;
    for (const b of bytes) {
      if (b === 0) {
        n += 8;
        continue;
      }
      return n + Math.clz32(b) - 24;
    }
    return n;
  };
  const search = async () => {
    for (let from = 0; ; from += 64) {
      const batch = Array.from({ length: 64 }, (_, i) => crypto.subtle.digest("SHA-256", text.encode(work + (from + i))));
      const sums = await Promise.all(batch);
      const found = sums.findIndex((sum) => zeros(new Uint8Array(sum)) >= Number(bits));
      if (found >= 0) return String(from + found);
    }
  };
  let pressed = false; // before the work was done
  form.addEventListener("submit", (event) => {
    if (field.value || form.elements.controllo.value) return;
    event.preventDefault();
    pressed = true;
  });
  search().then((nonce) => {
    field.value = nonce;
    document.getElementById("domanda").hidden = true;
    if (pressed) form.submit();
  }, () => field.value = "-"); // it stays with the question
})();
