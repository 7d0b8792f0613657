// SPDX-License-Identifier: Apache-2.0

// Tells, while a new password is typed, what the rule still asks for: in a list
// that is seen, and in a sentence that a screen reader says when the typing
// rests. The server decides; without this the rule stands under the field.
"use strict";
(() => {
  const list = document.getElementById("controlli");
  const wanted = document.getElementById("nuova"), again = document.getElementById("conferma");
  if (!list || !wanted || !again) return;
  const spoken = document.getElementById("controlli-detti");
  const length = () => [...wanted.value].length; // characters, as the server counts
  const met = {
    length: () => length() >= 8 && length() <= 128,
    digit: () => /\p{Nd}/u.test(wanted.value),
    upper: () => /\p{Lu}/u.test(wanted.value),
    lower: () => /\p{Ll}/u.test(wanted.value),
    same: () => wanted.value !== "" && wanted.value === again.value,
  };
  let rest;
  const look = () => {
    const missing = [];
    for (const item of list.children) {
      const is = met[item.dataset.rule]();
      item.classList.toggle("met", is);
      item.lastElementChild.textContent = is ? list.dataset.met : list.dataset.unmet;
      // Nobody is told of the second field before coming to it.
      if (!is && (item.dataset.rule !== "same" || again.value)) missing.push(item.firstElementChild.textContent);
    }
    clearTimeout(rest);
    rest = setTimeout(() => {
      spoken.textContent = !wanted.value ? "" : missing.length ? list.dataset.missing + " " + missing.join(", ") : list.dataset.fine;
    }, 700);
  };
  list.hidden = false;
  document.getElementById("regola").hidden = true; // the list says the same; it still describes the field
  wanted.addEventListener("input", look);
  again.addEventListener("input", look);
  look();
})();
