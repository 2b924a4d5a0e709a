// Shows how a deployment stands as it goes on: the hub says when, and the page's own parts are fetched anew.
"use strict";

async function refresh() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-shown]")) {
    part.hidden = page.getElementById(part.id)?.hidden ?? true;
  }
  for (const part of document.querySelectorAll("[data-live]")) {
    // What somebody is at work on stays as it is.
    if (part.contains(document.activeElement) || part.querySelector("details[open]")) continue;
    const fresh = page.getElementById(part.id);
    if (!fresh || fresh.innerHTML === part.innerHTML) continue;
    part.className = fresh.className;
    part.toggleAttribute("data-again", fresh.hasAttribute("data-again"));
    part.replaceChildren(...fresh.childNodes);
  }
}

const watched = document.querySelector("[data-events]");
if (watched) {
  const events = new EventSource(watched.dataset.events);
  let seen = "";
  events.addEventListener("deployment", (event) => {
    if (event.data !== seen) refresh();
    seen = event.data;
  });
  events.addEventListener("gone", () => {
    events.close();
    document.getElementById("gone").hidden = false;
  });
}

// What goes on between two events, such as the time that is left, is fetched while there is such a part.
if (document.querySelector("[data-live]")) {
  setInterval(() => {
    if (!document.hidden && document.querySelector("[data-again]")) refresh();
  }, 3000);
}
