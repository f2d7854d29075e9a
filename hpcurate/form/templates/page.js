"use strict";
// Values that were changed after the dry run are not those that Start would start.
const values = document.getElementById("values"), starting = document.getElementById("starting");
if (values && starting) {
  values.addEventListener("input", () => {
    starting.hidden = true;
    document.querySelector(".stale").hidden = false;
  }, { once: true });
}
// One click is enough: the second would be answered with the same page.
for (const form of document.forms) {
  form.addEventListener("submit", () => setTimeout(() => {
    for (const button of form.querySelectorAll("button")) { button.disabled = true; button.dataset.busy = "1"; }
  }));
}
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[data-busy]")) { button.disabled = false; delete button.dataset.busy; }
});
// What is seen of a run is pushed, while it moves.
const progress = document.getElementById("progress");
if (progress) {
  const events = new EventSource(progress.dataset.events);
  events.addEventListener("seen", (event) => {
    const open = [...progress.querySelectorAll("details")].map((one) => [one.querySelector("summary").textContent, one.open]);
    progress.innerHTML = JSON.parse(event.data);
    for (const one of progress.querySelectorAll("details")) {
      const before = open.find(([name]) => name === one.querySelector("summary").textContent);
      if (before) one.open = before[1];
    }
  });
  events.addEventListener("end", () => events.close());
}
