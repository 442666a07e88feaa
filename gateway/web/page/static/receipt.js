// "Prove this value": fetches the receipt of one window, and says what the station answers where there is none.
"use strict";
(function () {
  const form = document.getElementById("prove"), said = document.getElementById("said");
  form.addEventListener("submit", async function (event) {
    event.preventDefault();
    const symbol = form.elements.symbol.value, stamp = form.elements.time.value.replace(/\D/g, "").padEnd(14, "0");
    const answer = await fetch("/api/v1/receipt/" + encodeURIComponent(symbol) + "/" + stamp);
    if (!answer.ok) { said.textContent = (await answer.json()).error; return; }
    said.textContent = "";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = symbol + "-" + stamp + ".tlog-proof";
    link.click();
    URL.revokeObjectURL(link.href);
  });
})();
