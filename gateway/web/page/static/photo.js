// The photo of a calibration goes first, as it is; the form then names it by its hash.
"use strict";
(function () {
  const form = document.getElementById("calibrate"), said = document.getElementById("photo-said");
  form.addEventListener("submit", async function (event) {
    const photo = document.getElementById("photo").files[0];
    if (!photo) return;
    event.preventDefault();
    said.textContent = "…";
    try {
      const answer = await fetch("/do/photo", { method: "POST", body: photo, headers: { "Content-Type": photo.type, "X-CSRF-Token": form.elements.csrf.value } });
      const told = await answer.json();
      if (!answer.ok) { said.textContent = told.error; return; }
      form.elements.photo.value = told.sha256;
      form.submit();
    } catch (error) { said.textContent = String(error); }
  });
})();
