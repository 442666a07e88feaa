// The live parts of a page: the server sends a part's HTML when it has changed; only what differs is touched, so that focus,
// selection and a screen reader's place stay where they are.
"use strict";
(function () {
  const line = document.getElementById("line");

  function attributes(old, fresh) {
    for (const name of old.getAttributeNames()) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const name of fresh.getAttributeNames())
      if (old.getAttribute(name) !== fresh.getAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
  }

  function morph(old, fresh) {
    const before = Array.from(old.childNodes), after = Array.from(fresh.childNodes);
    after.forEach(function (node, place) {
      const known = before[place];
      if (!known) old.appendChild(node);
      else if (known.nodeType !== node.nodeType || known.nodeName !== node.nodeName) old.replaceChild(node, known);
      else if (node.nodeType === Node.ELEMENT_NODE) { attributes(known, node); morph(known, node); }
      else if (known.nodeValue !== node.nodeValue) known.nodeValue = node.nodeValue;
    });
    before.slice(after.length).forEach(function (node) { old.removeChild(node); });
  }

  function lost(is) {
    line.textContent = is ? line.dataset.lost : "";
    line.className = is ? "lost" : "";
  }

  // Nobody types a form twice: what was refused stands there again.
  for (const form of document.querySelectorAll("form[data-keep]")) {
    const kept = "quantrac " + form.getAttribute("action"), refused = document.querySelector(".flash.bad");
    const fields = function () { return Array.from(form.elements).filter(function (one) { return one.name && one.type !== "hidden"; }); };
    const said = refused ? sessionStorage.getItem(kept) : null;
    sessionStorage.removeItem(kept);
    if (said) {
      const values = JSON.parse(said);
      for (const one of fields()) if (one.name in values) one.value = values[one.name];
      if (form.closest("details")) form.closest("details").open = true;
    }
    form.addEventListener("submit", function () {
      sessionStorage.setItem(kept, JSON.stringify(Object.fromEntries(fields().map(function (one) { return [one.name, one.value]; }))));
    });
  }

  for (const part of document.querySelectorAll("[data-live]")) {
    const source = new EventSource("/api/v1/live?part=" + part.dataset.live + "&lang=" + document.documentElement.lang);
    source.onmessage = function (event) {
      const fresh = new DOMParser().parseFromString("<div>" + JSON.parse(event.data).html + "</div>", "text/html");
      morph(part, fresh.body.firstChild);
      lost(false);
    };
    source.onopen = function () { lost(false); };
    source.onerror = function () { lost(true); };
    window.addEventListener("pagehide", function () { source.close(); });
  }
})();
